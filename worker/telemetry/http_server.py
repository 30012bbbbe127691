"""A small HTTP server that anybody on the network may try to hold up, and can't.

It is for short questions about a process that has better things to do: GET and HEAD, one request a connection. What a
connection costs is bounded from all sides: the length of a request, the seconds that it may take, the seconds that its
answer may take, how many there are, and how many are taken a second. Where there are too many, the oldest that has not
completed its request goes, and else the oldest: whoever asks in one piece, as probes do, is answered in time.

Why none of the usual servers: waitress takes no further connection at its limit, and cheroot's threads wait for what is
half sent. Of ten probes beside 1,000 half-sent requests, both answered none within 5 s.
"""

import asyncio
import errno
import math
import re
import socket
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from typing import Generic, TypeVar

import structlog

from worker.errors import raised_at

MOST_CONNECTIONS = 200

ACCEPTED_AT_ONCE = 50

ACCEPTED_PER_SECOND = 1000
"""Taking one and dropping another costs 0.1 ms; at any pace, those who come again at once would have the process to
themselves."""

WAITING_CONNECTIONS = 1024
"""Connections that the kernel holds until they are taken: at most about a second."""

LONGEST_HEAD = 16 * 1024

REQUEST_SECONDS = 5.0

GRACE_SECONDS = 0.1
"""So much even the worst crowd leaves a request: it is on its way when its connection is taken."""

ANSWER_SECONDS = 15.0
"""From the request to the last byte of its answer; Prometheus gives up after 10 s."""

CHUNK = 64 * 1024

RESTS = 4
LONGEST_REST_SECONDS = 2.0
"""After an answer, how many times as long as making it took nothing is made, and for how long at most: a page of 1,000
shops takes a second and more, and a second Prometheus gives up after 10."""

LOG_SECONDS = 10.0
"""Requests that are refused for the same reason make one line in so many seconds."""

_REQUEST_LINE = re.compile(rb"([A-Z]{1,16}) (/[\x21-\x7e]*) HTTP/1\.[01]")

T = TypeVar("T")

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Request:
    """A path without its query, and headers by their name in lower case."""

    path: str
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Answer:
    """What is sent; ``headers`` besides those of type, length and connection."""

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
    """Answers on one listening socket; ``answer`` may take its time, and holds up nobody while it waits."""

    def __init__(self, answer: Callable[[Request], Awaitable[Answer]]) -> None:
        self._answer = answer
        # By their age: when the request of each is to be complete by where there are too many; inf: it is.
        self._open: dict[asyncio.Task[None], float] = {}
        self._refusals = _Refusals()

    async def serve(self, listening: socket.socket, stop: asyncio.Event) -> None:
        """Serve until told to stop; then every connection is dropped. The socket stays open."""
        accepting = asyncio.create_task(self._accept(listening))
        await stop.wait()
        tasks = [accepting, *self._open]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        # What is aborted is closed in the loop's next round.
        await asyncio.sleep(0)

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            for _ in range(ACCEPTED_AT_ONCE):
                try:
                    connection, _ = await loop.sock_accept(listening)
                except OSError as error:
                    # Else it's one that broke while it waited.
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
        # Also of a task that had no time to begin.
        connection.close()

    async def _serve(self, connection: socket.socket) -> None:
        reader, writer = await asyncio.open_connection(sock=connection, limit=LONGEST_HEAD)
        try:
            await self._converse(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            # The other side has left, or is too slow to be told so.
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
    """Send it and close; of a long one a part at a time, so that slow readers hold no copies of it."""
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
    # What is closed before all has left can't be aborted once it has.
    writer.transport.set_write_buffer_limits(high=0)
    await writer.drain()
    writer.close()
    await writer.wait_closed()


class PacedExecutor:
    """Where things are made one at a time, with a rest after each: who asks all the time, for whichever of them, has a
    fifth of a core, or more where one takes longer than half a second.
    """

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._under_way = asyncio.Lock()
        self._rests_until = 0.0

    async def make(self, make: Callable[[], T], begun: Callable[[], None]) -> T:
        """Wait for its turn, say that it has ``begun``, and make it in the executor. Raises what making it raises."""
        loop = asyncio.get_running_loop()
        async with self._under_way:
            await asyncio.sleep(self._rests_until - loop.time())
            begun()
            began = loop.time()
            try:
                return await loop.run_in_executor(self._executor, make)
            finally:
                self._rests_until = loop.time() + min(RESTS * (loop.time() - began), LONGEST_REST_SECONDS)


class Coalesced(Generic[T]):
    """Makes what many ask for, once for all who wait, so that nobody makes the process work by asking often.

    Whoever asks gets what was begun to be made after that.
    """

    def __init__(self, make: Callable[[], T], workshop: PacedExecutor) -> None:
        """``make`` runs in the workshop, with all else that is made there never twice at once."""
        self._make = make
        self._workshop = workshop
        self._next: asyncio.Task[T] | None = None

    async def get(self) -> T:
        """Raises what making it raises."""
        if self._next is None:
            self._next = asyncio.create_task(self._workshop.make(self._make, self._begun))
        # Who leaves leaves it to the others.
        return await asyncio.shield(self._next)

    def _begun(self) -> None:
        self._next = None


class _Refusals:
    """Tells in the log what was refused, a line for each kind once in a while: who asks too much is not to fill it."""

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
        # A kernel without IPv6; where it's the port that is taken, that is told now.
        host = "0.0.0.0"  # noqa: S104 - all addresses are asked for
    return _listen(socket.AF_INET6 if ":" in host else socket.AF_INET, host, port)


def _listen(family: int, host: str, port: int, *, dualstack: bool = False) -> socket.socket:
    made = socket.create_server(
        (host, port),
        family=family,
        backlog=WAITING_CONNECTIONS,
        dualstack_ipv6=dualstack and socket.has_dualstack_ipv6(),
    )
    # Connections inherit them: else the kernel keeps megabytes for each of those who don't read.
    made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, CHUNK)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, LONGEST_HEAD)
    made.settimeout(0)
    return made
