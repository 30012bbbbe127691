"""The receiving side: a Refer2 on raw sockets that writes every call down before it answers, or misbehaves.

It answers the vendor's read calls too: CustomerReferrals2 with what was carried out, Status2 as it would treat a call.
"""

import base64
import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.faults.jobs import job_id
from tests.unit.rawserver import Connection, RawServer, Reply, body_of, response, sends

REFERRAL = {
    "message": "Thank you",
    "referral": {
        "referral_bhid": "Rf0000000000",
        "channel": "whatsapp",
        "status": "invited",
        "link": "https://shop.example/r/0000000000",
        "sent_at": "2026-01-01T00:00:00Z",
    },
}
JSON = {"Content-Type": "application/json"}
SENT = response(200, REFERRAL, JSON)


@dataclass(frozen=True)
class Behaviour:
    """A way to treat a call. ``carries_out``: the referral is made, whatever the caller hears of it."""

    name: str
    reply: Reply
    carries_out: bool = True


@dataclass(frozen=True)
class Call:
    """A call as it came in.

    ``at`` is in microseconds since the epoch; ``number`` counts from 1; ``port`` is the caller's: one has the calls of
    one worker.
    """

    number: int
    at: int
    shop: str
    email: str
    key_id: str
    port: int

    @property
    def job_id(self) -> str:
        return job_id(self.shop, self.email)


Plan = Callable[[Call], Behaviour]
"""Decides how a call is treated, by whatever it knows of it."""


def _after(seconds: float) -> Reply:
    def reply(connection: Connection) -> None:
        connection.wait(seconds)
        connection.send(SENT)

    return reply


def slow(seconds: float) -> Behaviour:
    """Does it and answers so much later."""
    return Behaviour("slow", _after(seconds))


PROMPT = Behaviour("sent", sends(SENT))


def always(behaviour: Behaviour) -> Plan:
    """The same for every call."""
    return lambda _call: behaviour


class Upstream:
    """Serves on a free port from ``with`` on. ``plan`` may be exchanged at any time; ``log`` has a line per call.

    ``reads`` has the job id that each CustomerReferrals2 asked about.
    """

    def __init__(self, log: Path, plan: Plan = always(PROMPT)) -> None:  # noqa: B008 - immutable
        self.plan = plan
        self.in_progress = 0
        self.reads: list[str] = []
        self._calls: list[tuple[Call, Behaviour]] = []
        self._lock = threading.Lock()
        self._log = log.open("w")
        self._server = RawServer(self._answer)

    @property
    def url(self) -> str:
        return self._server.url

    def calls(self, *, shop: str | None = None) -> list[Call]:
        """Every call so far, in the order of arrival."""
        with self._lock:
            return [call for call, _ in self._calls if shop in (None, call.shop)]

    def carried_out(self) -> list[str]:
        """The job id of each call that was carried out."""
        with self._lock:
            return [call.job_id for call, behaviour in self._calls if behaviour.carries_out]

    def treated(self) -> Counter[str]:
        """How many calls were treated which way, by the behaviour's name."""
        with self._lock:
            return Counter(behaviour.name for _, behaviour in self._calls)

    def __enter__(self) -> Self:
        self._server.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.__exit__(kind, error, trace)
        self._log.close()

    def _answer(self, connection: Connection) -> None:
        path = connection.request.split(b" ", 2)[1].decode().split("/")
        if path[:2] != ["", "api"]:
            # It is after another server, which had this port before.
            connection.close()
            return
        shop, method = path[3], path[-1]
        token = connection.request.partition(b"Bearer ")[2].partition(b".")[0].decode()
        key_id = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))["kid"]
        if method == "Status2":
            self.plan(Call(0, _now(), shop, "", key_id, connection.port)).reply(connection)
            return
        email = body_of(connection.request)["customer"]["email"]
        if method == "CustomerReferrals2":
            self._read(connection, job_id(shop, email))
        else:
            self._carry_out(connection, shop, email, key_id)

    def _read(self, connection: Connection, job: str) -> None:
        with self._lock:
            self.reads.append(job)
        made = [REFERRAL["referral"]] if job in self.carried_out() else []
        connection.send(response(200, {"referrals": made}, JSON))

    def _carry_out(self, connection: Connection, shop: str, email: str, key_id: str) -> None:
        with self._lock:
            call = Call(len(self._calls) + 1, _now(), shop, email, key_id, connection.port)
            behaviour = self.plan(call)
            self._calls.append((call, behaviour))
            self._log.write(json.dumps({"at": call.at, "job_id": call.job_id, "treated": behaviour.name}) + "\n")
            self._log.flush()
            self.in_progress += 1
        try:
            behaviour.reply(connection)
        finally:
            with self._lock:
                self.in_progress -= 1


def _now() -> int:
    return time.time_ns() // 1000
