"""HTTP connections that read against a deadline, from the first header on, and are not used again when stale.

`requests` bounds the silence between two reads, not the exchange: a server that sends a byte every few seconds would
hold a thread, and the job's lease, for ever.
"""

import http.client
import io
import math
import socket
import threading
import time
from typing import Any

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError


class Exchange(threading.local):
    """The exchange that this thread is at.

    Thread-local because neither requests nor http.client has a way to hand anything to the connection that it picks.
    Real time, not a Clock's: it bounds what the kernel does. ``sent`` turns true once the kernel has taken the whole
    request; before that no server can have more than a part of it.
    """

    deadline = math.inf
    read_timeout = math.inf
    longest_idle = 0.0
    sent = False

    def start(self, *, read_timeout: float, longest_idle: float, seconds: float) -> None:
        """Begin anew, with ``seconds`` for all of it, on no connection that was idle for ``longest_idle`` or more."""
        self.sent = False
        self.read_timeout = read_timeout
        self.longest_idle = longest_idle
        self.deadline = time.monotonic() + seconds

    def expired(self) -> bool:
        """Whether its time is over."""
        return time.monotonic() >= self.deadline

    def wait(self) -> float:
        """Seconds that the next read may take.

        Raises:
          TimeoutError: none are left.
        """
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the exchange took longer than it may")
        return min(left, self.read_timeout)


exchange = Exchange()


class _DeadlineReader(io.RawIOBase):
    def __init__(self, sock: socket.socket, raw: io.RawIOBase) -> None:
        self._sock = sock
        self._raw = raw

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = exchange.wait()
        # A system call, for which a thread also gives up the interpreter's lock; mostly the time-out stands already.
        if left != self._sock.gettimeout():
            self._sock.settimeout(left)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _DeadlineResponse(http.client.HTTPResponse):
    # Also what http.client reads a proxy's answer to CONNECT with.
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp = io.BufferedReader(_DeadlineReader(sock, self.fp.detach()))


class _BoundedConnection(HTTPConnection):
    response_class = _DeadlineResponse
    idle_since = -math.inf
    _unsent: list[bytes] | None = None

    def connect(self) -> None:
        super().connect()
        # A slow resolver and several addresses, each with its own time-out, can use up the time of the exchange; what
        # has not been sent yet is better not sent than given up on half-way.
        if exchange.expired():
            self.close()
            raise ConnectTimeoutError(self, "connecting took longer than the whole exchange may")

    def request(self, *args: Any, **kwargs: Any) -> None:
        # Headers and body leave in one piece: one system call and one packet in place of two.
        self._unsent = []
        try:
            super().request(*args, **kwargs)
            whole = b"".join(self._unsent)
        finally:
            self._unsent = None
        # A process that was frozen since may have lost the job to another, which a connection that is open can't tell.
        if exchange.expired():
            self.close()
            raise ConnectTimeoutError(self, "nothing was sent in the time of the whole exchange")
        super().send(whole)
        exchange.sent = True

    def send(self, data: Any) -> None:
        if self._unsent is None:
            super().send(data)
        else:
            self._unsent.append(data)

    @property
    def is_connected(self) -> bool:
        return time.monotonic() - self.idle_since < exchange.longest_idle and super().is_connected


class _BoundedTLSConnection(_BoundedConnection, HTTPSConnection):
    pass


class _Pool(urllib3.HTTPConnectionPool):
    ConnectionCls = _BoundedConnection

    def _put_conn(self, conn: Any) -> None:
        if conn is not None:
            conn.idle_since = time.monotonic()
        super()._put_conn(conn)


class _TLSPool(_Pool, urllib3.HTTPSConnectionPool):
    ConnectionCls = _BoundedTLSConnection


POOLS = {"http": _Pool, "https": _TLSPool}
"""The pools of such connections by scheme, as `urllib3`'s pool managers take them."""
