"""HTTP connections that read against a deadline, from the first header on, and that are not reused when stale.

The time-outs of `requests` bound the silence between two reads, and not the exchange. A server that sends one byte
every few seconds would hold a thread for ever, and the call would outlast the job's lease.
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
    """The exchange that the current thread is making.

    It is thread-local because neither requests nor http.client can pass anything to the connection that it picks. It
    goes by real time and not by a Clock, since it bounds what the kernel does. ``sent`` becomes true once the kernel
    has taken the whole request; before that, no server can have more than a part of it.
    """

    deadline = math.inf
    read_timeout = math.inf
    longest_idle = 0.0
    sent = False

    def start(self, *, read_timeout: float, longest_idle: float, seconds: float) -> None:
        """Begin an exchange of at most ``seconds``, on a connection that was idle for less than ``longest_idle``."""
        self.sent = False
        self.read_timeout = read_timeout
        self.longest_idle = longest_idle
        self.deadline = time.monotonic() + seconds

    def extend(self, *, seconds: float) -> None:
        """Let the exchange go on for ``seconds`` from now: a part of a long answer has come."""
        self.deadline = time.monotonic() + seconds

    def expired(self) -> bool:
        """Whether its deadline has passed."""
        return time.monotonic() >= self.deadline

    def wait(self) -> float:
        """Seconds that the next read may block.

        Raises:
          TimeoutError: the deadline has passed.
        """
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the exchange took longer than it may")
        return min(left, self.read_timeout)


exchange = Exchange()
"""Each thread sees its own."""


class _DeadlineReader(io.RawIOBase):
    # Sets the socket's time-out before each read to what is left of the exchange.

    def __init__(self, sock: socket.socket, raw: io.RawIOBase) -> None:
        self._sock = sock
        self._raw = raw

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = exchange.wait()
        # Setting a time-out is a system call, for which the thread also releases the interpreter's lock. Mostly the
        # right one is set already.
        if left != self._sock.gettimeout():
            self._sock.settimeout(left)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _DeadlineResponse(http.client.HTTPResponse):
    # http.client also reads a proxy's answer to CONNECT by this class, so that read is bounded too.
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp = io.BufferedReader(_DeadlineReader(sock, self.fp.detach()))


class _BoundedConnection(HTTPConnection):
    response_class = _DeadlineResponse
    idle_since = -math.inf
    _unsent: list[bytes] | None = None

    def connect(self) -> None:
        super().connect()
        # A slow resolver and several addresses, each with a time-out of its own, can use up the exchange's time. Then
        # nothing is sent: a request that is abandoned half-way would be a call of unknown outcome.
        if exchange.expired():
            self.close()
            raise ConnectTimeoutError(self, "connecting took longer than the whole exchange may")

    def request(self, *args: Any, **kwargs: Any) -> None:
        # Headers and body are collected and sent in one piece: one system call and one packet in place of two.
        self._unsent = []
        try:
            super().request(*args, **kwargs)
            whole = b"".join(self._unsent)
        finally:
            self._unsent = None
        # Checked last of all: a process that was frozen until now may have lost the job to another worker, and its open
        # connection would carry the call all the same.
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
        # urllib3 asks this before it reuses a connection, and opens a new one for False.
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
"""Pools of such connections by scheme, in the form that `urllib3`'s pool managers take."""
