"""A fast stand-in for Refer2, as a program of its own: it must not be what a measurement of paces is bound by.

It answers a call within 0.1 ms of CPU where the sandbox takes ten times as long, checks no token, and keeps when each
call arrived, and whom it was for if asked to. With a limit it judges by the sandbox's own throttle, but answers 429 at
once instead of delaying first. It reports what it received under the sandbox's paths.
"""

import argparse
import asyncio
import json
import re
import signal
from collections import Counter

from worker.clock import SystemClock
from worker.sandbox.config import make_limits
from worker.sandbox.responses import RefusedError
from worker.sandbox.throttle import Throttle

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CUSTOMER = re.compile(rb'"customer": *{[^}]*"email": *"([^"]*)"')
_REFERRAL = {
    "message": "Thank you",
    "referral": {
        "referral_bhid": "Rf0000000000",
        "channel": "whatsapp",
        "status": "invited",
        "link": "https://example.com/r/0000000000",
        "sent_at": "2026-01-01T00:00:00Z",
    },
    "share_action": {"open_url": "https://example.com/share"},
}
SENT = json.dumps(_REFERRAL).encode()


class Record:
    """Every call: when it arrived (microseconds since the epoch), for which shop, the status that it got, and its
    customer's address; empty unless they are to be kept.
    """

    def __init__(self, throttle: Throttle | None, *, customers: bool) -> None:
        self._throttle = throttle
        self._customers = customers
        self._clock = SystemClock()
        self.calls: list[tuple[int, str, int, str]] = []

    def answer(self, shop: str, body: bytes) -> tuple[int, bytes, int]:
        """Status, body and ``Retry-After`` (0 for none)."""
        now = self._clock.now()
        found = _CUSTOMER.search(body) if self._customers else None
        customer = found[1].decode() if found is not None else ""
        if self._throttle is not None:
            try:
                self._throttle.admit(shop, str(json.loads(body)["customer"]), now)
            except RefusedError as refused:
                self.calls.append((now, shop, refused.status, customer))
                text = json.dumps({"id": "rate_limit_exceeded", "message": refused.message}).encode()
                return refused.status, text, refused.retry_after or 1
        self.calls.append((now, shop, 200, customer))
        return 200, SENT, 0

    def told(self, path: bytes) -> bytes:
        """What the sandbox's paths of the same name tell."""
        if path == b"/_sandbox/summary":
            return json.dumps({"calls": len(self.calls), "statuses": Counter(call[2] for call in self.calls)}).encode()
        lines = (
            json.dumps({"arrived_at": arrived_at, "shop": shop, "status": status, "customer": customer})
            for arrived_at, shop, status, customer in self.calls
        )
        return "\n".join(lines).encode()


class Connection(asyncio.Protocol):
    """One client's connection, kept alive."""

    def __init__(self, record: Record, latency: float) -> None:
        self._record = record
        self._latency = latency
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end]
            length = _LENGTH.search(head)
            whole = end + 4 + (int(length[1]) if length else 0)
            if len(self._buffer) < whole:
                return
            body, self._buffer = self._buffer[end + 4 : whole], self._buffer[whole:]
            self._answer(head.split(b" ", 2)[1], body)

    def _answer(self, path: bytes, body: bytes) -> None:
        assert self._transport is not None
        if path.startswith(b"/_sandbox/"):
            status, text, retry_after = 200, self._record.told(path), 0
        else:
            status, text, retry_after = self._record.answer(path.split(b"/")[3].decode(), body)
        again = f"Retry-After: {retry_after}\r\n" if retry_after else ""
        head = f"HTTP/1.1 {status} -\r\nContent-Type: application/json\r\n{again}Content-Length: {len(text)}\r\n\r\n"
        whole = head.encode() + text
        if self._latency and not path.startswith(b"/_sandbox/"):
            asyncio.get_running_loop().call_later(self._latency, self._transport.write, whole)
        else:
            self._transport.write(whole)


async def main(per_second: float | None, latency: float, *, customers: bool) -> None:
    """Serve on a free port until SIGTERM; prints the line that the sandbox prints."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    limits = None if per_second is None else make_limits(per_second=per_second, per_day=10**9)
    record = Record(None if limits is None else Throttle(limits, max_delay=0), customers=customers)
    server = await loop.create_server(lambda: Connection(record, latency), "127.0.0.1", 0, backlog=1024)
    print(f"Refer2 sandbox on http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await stop.wait()
    server.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--per-second", type=float)
    parser.add_argument("--latency", type=float, default=0, help="seconds from a call to its answer")
    parser.add_argument("--customers", action="store_true", help="keep whom each call is for")
    given = parser.parse_args()
    asyncio.run(main(given.per_second, given.latency, customers=given.customers))
