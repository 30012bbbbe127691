"""A small HTTP server that no client on the network can hold up.

It answers short questions about a process that has better things to do: GET and HEAD, one request a connection. What
connections cost is bounded from all sides: the length of a request, the seconds that it and its answer may take, how
many are open, and how many are accepted a second. Where too many are open, the oldest without a complete request is
dropped, or else the oldest of all. So a client that sends its request in one piece, as probes do, is answered in time.

None of the usual servers does that: waitress accepts no further connection at its limit, and cheroot's threads wait for
requests that are half sent. Of ten probes beside 1,000 half-sent requests, both answered none within 5 s.

All of it runs in one asyncio loop, in the thread of whoever runs that.
"""

import asyncio
import errno
import math
import re
import socket
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus

import structlog

from worker.errors import raised_at

MOST_CONNECTIONS = 200
"""Open at once; beyond them one is dropped for each that is accepted."""

ACCEPTED_AT_ONCE = 50
"""Accepted in a row before the loop turns to the connections that are open."""

ACCEPTED_PER_SECOND = 1000
"""Accepting one and dropping another costs 0.1 ms. Without this bound, clients that reconnect at once would take the
whole process."""

WAITING_CONNECTIONS = 1024
"""Connections that the kernel holds until they are accepted: at most about a second."""

LONGEST_HEAD = 16 * 1024
"""Bytes of a request's first line and headers."""

REQUEST_SECONDS = 5.0
"""From accepting a connection to the end of its request."""

GRACE_SECONDS = 0.1
"""Nobody is dropped as late within this time: an honest request is on its way when its connection is accepted."""

ANSWER_SECONDS = 15.0
"""From the request to the last byte of its answer; Prometheus gives up after 10 s."""

CHUNK = 64 * 1024
"""Bytes of an answer that are written at once, and that the kernel may hold of it."""

LOG_SECONDS = 10.0
"""Requests that are refused for the same reason write one log line in so many seconds."""

_REQUEST_LINE = re.compile(rb"([A-Z]{1,16}) (/[\x21-\x7e]*) HTTP/1\.[01]")

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Request:
    """A path without its query, and the headers by their names in lower case."""

    path: str
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Answer:
    """A response; ``headers`` are added to those of type, length and connection."""

    status: HTTPStatus
    body: bytes
    content_type: str = "text/plain; charset=utf-8"
    headers: Mapping[str, str] = field(default_factory=dict)


class _RefusedError(Exception):
    def __init__(self, status: HTTPStatus, problem: str, **headers: str) -> None:
        super().__init__(problem)
        self.problem = problem
        self.answer = Answer(status, f"{status.phrase.lower()}\n".encode(), headers=headers)


class HttpServer:
    """Answers on one listening socket. ``answer`` is a coroutine, so it holds up nobody while it waits."""

    def __init__(self, answer: Callable[[Request], Awaitable[Answer]]) -> None:
        self._answer = answer
        # In the order of their age: the time by which each request must be complete where too many are open; inf once
        # it is complete.
        self._open: dict[asyncio.Task[None], float] = {}
        self._refusals = _Refusals()

    async def serve(self, listening: socket.socket, stop: asyncio.Event) -> None:
        """Serve until ``stop`` is set, then drop every connection. The listening socket stays open."""
        accepting = asyncio.create_task(self._accept(listening))
        await stop.wait()
        tasks = [accepting, *self._open]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        # asyncio closes aborted connections in the loop's next round.
        await asyncio.sleep(0)

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            for _ in range(ACCEPTED_AT_ONCE):
                try:
                    connection, _ = await loop.sock_accept(listening)
                except OSError as error:
                    # Another error belongs to one connection, which broke while it waited.
                    out_of_files = error.errno in (errno.EMFILE, errno.ENFILE)
                    self._refusals.count("out_of_files" if out_of_files else "not_accepted")
                    break
                self._make_room(loop.time())
                task = asyncio.create_task(self._serve(connection))
                self._open[task] = loop.time() + GRACE_SECONDS
                task.add_done_callback(partial(self._forget, connection))
            await asyncio.sleep(ACCEPTED_AT_ONCE / ACCEPTED_PER_SECOND)

    def _make_room(self, now: float) -> None:
        if len(self._open) >= MOST_CONNECTIONS:
            oldest = next(iter(self._open))
            victim = next((task for task, due in self._open.items() if due < now), oldest)
            del self._open[victim]
            victim.cancel()
            self._refusals.count("too_many_connections")

    def _forget(self, connection: socket.socket, task: asyncio.Task[None]) -> None:
        self._open.pop(task, None)
        # The task may have been cancelled before it began, so it can't close the connection itself.
        connection.close()

    async def _serve(self, connection: socket.socket) -> None:
        reader, writer = await asyncio.open_connection(sock=connection, limit=LONGEST_HEAD)
        try:
            await self._converse(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            # The client has left, or reads too slowly even to be told that.
            return
        finally:
            writer.transport.abort()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        body_wanted = True
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                method, request = _parsed(await _head(reader))
            self._open[_this_task()] = math.inf
            body_wanted = method != "HEAD"
            async with asyncio.timeout(ANSWER_SECONDS):
                answer = await self._answer_or_failure(request)
                await _send(writer, answer, body_wanted=body_wanted)
        except _RefusedError as refused:
            self._refusals.count(refused.problem)
            async with asyncio.timeout(REQUEST_SECONDS):
                await _send(writer, refused.answer, body_wanted=body_wanted)
        except TimeoutError:
            self._refusals.count("too_slow")

    async def _answer_or_failure(self, request: Request) -> Answer:
        try:
            return await self._answer(request)
        except Exception as error:  # noqa: BLE001 - it is told by kind and place, and the server goes on
            log.error("request_failed", error=type(error).__name__, where=raised_at(error))
            return Answer(HTTPStatus.INTERNAL_SERVER_ERROR, b"internal server error\n")


def _this_task() -> asyncio.Task[None]:
    task = asyncio.current_task()
    assert task is not None, "runs in a task"
    return task


async def _head(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except asyncio.LimitOverrunError:
        raise _RefusedError(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "too_long") from None


def _parsed(head: bytes) -> tuple[str, Request]:
    first, *rest = head[:-4].split(b"\r\n")
    found = _REQUEST_LINE.fullmatch(first)
    if found is None:
        raise _RefusedError(HTTPStatus.BAD_REQUEST, "not_http")
    method, target = found[1].decode(), found[2].decode()
    if method not in ("GET", "HEAD"):
        raise _RefusedError(HTTPStatus.METHOD_NOT_ALLOWED, "method", Allow="GET, HEAD")
    headers = {}
    for line in rest:
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.lower()] = value.strip()
    return method, Request(target.partition("?")[0], headers)


async def _send(writer: asyncio.StreamWriter, answer: Answer, *, body_wanted: bool) -> None:
    """Send the answer and close; a long one goes in parts, so that slow readers hold no copies of it."""
    lines = [
        f"HTTP/1.1 {answer.status.value} {answer.status.phrase}",
        f"Content-Type: {answer.content_type}",
        f"Content-Length: {len(answer.body)}",
        "Connection: close",
        *(f"{name}: {value}" for name, value in answer.headers.items()),
    ]
    writer.transport.set_write_buffer_limits(high=CHUNK)
    writer.write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))
    body = memoryview(answer.body if body_wanted else b"")
    for begin in range(0, len(body), CHUNK):
        writer.write(body[begin : begin + CHUNK])
        await writer.drain()
    # Everything must have left before the close: asyncio can't abort a closing connection that still has data.
    writer.transport.set_write_buffer_limits(high=0)
    await writer.drain()
    writer.close()
    await writer.wait_closed()


class _Refusals:
    """Logs what was refused, one line for each reason in ten seconds, so that no client can fill the log."""

    def __init__(self) -> None:
        self._untold: Counter[str] = Counter()
        self._told_at: dict[str, float] = {}

    def count(self, problem: str) -> None:
        now = time.monotonic()
        self._untold[problem] += 1
        if now - self._told_at.get(problem, -LOG_SECONDS) >= LOG_SECONDS:
            self._told_at[problem] = now
            log.warning("requests_refused", problem=problem, requests=self._untold.pop(problem))


def listen(host: str, port: int) -> socket.socket:
    """A listening socket on an address of this machine; ``::`` is every address, of IPv4 too.

    Raises:
      OSError: the port is taken, or the address is none of this machine's.
    """
    if host == "::":
        with suppress(OSError):
            return _listen(socket.AF_INET6, host, port, dualstack=True)
        # Either the kernel has no IPv6, or the port is taken; then this second attempt raises that.
        host = "0.0.0.0"  # noqa: S104 - all addresses are asked for
    return _listen(socket.AF_INET6 if ":" in host else socket.AF_INET, host, port)


def _listen(family: int, host: str, port: int, *, dualstack: bool = False) -> socket.socket:
    made = socket.create_server(
        (host, port),
        family=family,
        backlog=WAITING_CONNECTIONS,
        dualstack_ipv6=dualstack and socket.has_dualstack_ipv6(),
    )
    # Accepted connections inherit these bounds. Without them the kernel holds megabytes for each client that doesn't
    # read.
    made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, CHUNK)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, LONGEST_HEAD)
    made.settimeout(0)
    return made
