"""What the store answers: any bytes in place of a script's reply, from a server that sends them and hangs up."""

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from itertools import count

import hiredis

from tests.fuzz.promises import told
from tests.fuzz.target import Target, folder
from tests.unit.making import LEASE, NOON, PLENTY, make_job
from worker.clock import ManualClock
from worker.errors import StoreError
from worker.model.controls import Controls
from worker.model.outcomes import OUTCOMES
from worker.store.protocol import AdmitRequest, AlreadyAnswered, Grant, ShopClosed, Wait
from worker.store.redis.store import RedisStore

ASK = AdmitRequest("acme", "b:1", make_job().job_id, PLENTY, lease=LEASE)

_LONGEST_WAIT = 10
_MOST_PAGES = 20


def store(data: bytes) -> None:
    """Whatever a script answers, whoever asked is told: a reply that can be used, or an error of the store's."""
    with _answering(data) as url:
        made = RedisStore(url, ManualClock(NOON))
        try:
            for request in (_admit, _controls, _watch, _inspect, _tallies, _take_read, _answer):
                with suppress(StoreError):
                    try:
                        request(made)
                    except StoreError as error:
                        told(error)
                        raise
        finally:
            made.close()


def _admit(made: RedisStore) -> None:
    match made.admit(ASK):
        case Grant() as go:
            _whole(go.epoch, go.start_at, go.start_by)
        case Wait(scope, until):
            assert scope in ("customer", "job")
            _whole(until)
        case ShopClosed() as closed:
            _whole(closed.until, closed.batch)
        case AlreadyAnswered(epoch, result):
            _whole(epoch)
            assert isinstance(result, str | None)


def _controls(made: RedisStore) -> None:
    _usable(made.controls())


def _watch(made: RedisStore) -> None:
    heard: Future[Controls | StoreError | None] = Future()
    made.watch(7, heard.set_result)
    news = heard.result(timeout=_LONGEST_WAIT)
    if isinstance(news, StoreError):
        raise news
    if news is not None:
        _usable(news)


def _usable(controls: Controls) -> None:
    pause = controls.pause_of("acme")
    if pause is not None:
        assert isinstance(pause.reason, str)
        _whole(pause.since)
    limit = controls.limit_of("acme", NOON)
    if limit is not None:
        _whole(limit.since, limit.until)
    assert controls.is_cancelled("spring", "acme", NOON) in (True, False)
    for order in controls.campaigns.values():
        _whole(order.interval, order.per_day)
        if order.brake is not None:
            _whole(order.brake.share, order.brake.window, order.brake.armed)
        hold = order.held(NOON, aside=True)
        assert hold is None or isinstance(hold.reason, str)


def _inspect(made: RedisStore) -> None:
    state = made.inspect("acme", PLENTY)
    _whole(state.at, state.blocked_until)
    if state.closure is not None:
        assert isinstance(state.closure.reason, str)
        _whole(state.closure.until)


def _tallies(made: RedisStore) -> None:
    for campaign, counters in made.tallies("acme").items():
        assert isinstance(campaign, str)
        _whole(*counters.values())


def _take_read(made: RedisStore) -> None:
    until = made.take_read(ASK)
    if until is not None:
        _whole(until)


def _answer(made: RedisStore) -> None:
    assert made.answer(ASK, 1, "{}") in (True, False)
    made.release(ASK, 1, called=False)
    made.settle(ASK, 1, OUTCOMES[0])


def _whole(*numbers: object) -> None:
    assert all(isinstance(number, int) for number in numbers), numbers


@contextmanager
def _answering(data: bytes) -> Iterator[str]:
    with folder() as place, socket.socket(socket.AF_UNIX) as server:
        path = place / "store"
        server.bind(str(path))
        server.listen()
        thread = threading.Thread(target=_serve, args=(server, data), daemon=True)
        thread.start()
        try:
            yield f"unix://{path}"
        finally:
            # The one way to end an accept that somebody waits in.
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


def _serve(server: socket.socket, data: bytes) -> None:
    for number in count():
        try:
            connection, _ = server.accept()
        except OSError:
            return
        with connection, suppress(OSError):
            # In the end even what is read in pages comes to an end.
            _converse(connection, data if number < _MOST_PAGES else b"")


def _converse(connection: socket.socket, data: bytes) -> None:
    commands = hiredis.Reader()
    while received := connection.recv(65_536):
        commands.feed(received)
        while (command := commands.gets()) is not False:
            if command[0] == b"EVALSHA":
                connection.sendall(data)
                return
            connection.sendall(b"+OK\r\n")


_RESP = (
    b"*2\r\n",
    b"*11\r\n",
    b":1\r\n",
    b":0\r\n",
    b":4\r\n",
    b"$-1\r\n",
    b"*-1\r\n",
    b"$8\r\n\0\0\0\0\0\0\0\1\r\n",
    b"$4\r\nacme\r\n",
    b"+OK\r\n",
    b"-ERR of ann@example.org\r\n",
    b"-NOSCRIPT\r\n",
    b"-MOVED 1 127.0.0.1:1\r\n",
    b"\xff",
    b"9223372036854775807",
)

TARGETS = (Target("store", store, _RESP, longest=1024),)
