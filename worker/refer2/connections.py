"""HTTP connections that read against a deadline, from the first header on, and that are not reused when stale.

The time-outs of `requests` bound the silence between two reads, and not the exchange. A server that sends one byte
every few seconds would hold a thread for ever, and the call would outlast the job's lease.

A connection also makes a plain exchange without urllib3 (:meth:`BoundedConnection.exchange`).
"""

import http.client
import io
import math
import socket
import ssl
import time
from typing import Any

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError

from worker.refer2.exchange import Begun, exchange
from worker.refer2.plain_answer import read_plain_answer
from worker.refer2.responses import Answer

_PIECE = 16 * 1024
"""Bytes that are read at once: a TLS record."""


class _DeadlineReader(io.RawIOBase):
    # Sets the socket's time-out before each read to what is left of the exchange.

    def __init__(self, sock: socket.socket, raw: io.RawIOBase, begun: Begun | None) -> None:
        self._sock = sock
        self._raw = raw
        self._came = memoryview(b"".join(begun.pieces) if begun else b"")
        self._failure = begun.unread if begun else None
        self._ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self._ended:
            return None
        if self._came:
            size = min(len(self._came), len(buffer))
            buffer[:size] = self._came[:size]
            self._came = self._came[size:]
            return size
        if self._failure is not None:
            raise self._failure
        _set_timeout(self._sock)
        return self._raw.readinto(buffer)

    def end(self) -> bool:
        """Read nothing from now on; returns whether bytes are left over."""
        self._ended = True
        return bool(self._came)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _AnswerReader(io.BufferedReader):
    # http.client closes it at the answer's end.
    is_followed = False
    """Whether bytes came behind the answer, with its last ones."""

    def __init__(self, raw: _DeadlineReader) -> None:
        super().__init__(raw)
        self._deadline_reader = raw

    def close(self) -> None:
        if not self.closed:
            self.is_followed = self._deadline_reader.end() or bool(self.peek(1))
        super().close()


class _DeadlineResponse(http.client.HTTPResponse):
    # http.client also reads a proxy's answer to CONNECT by this class, so that read is bounded too.
    def __init__(self, sock: socket.socket, begun: Begun | None, **kwargs: Any) -> None:
        super().__init__(sock, **kwargs)
        self.fp = self.reader = _AnswerReader(_DeadlineReader(sock, self.fp.detach(), begun))

    def begin(self) -> None:
        super().begin()
        # Two statements of where the answer ends: whoever goes by the other one takes what follows for the next answer.
        if len(self.headers.get_all("content-length", [])) + ("transfer-encoding" in self.headers) > 1:
            self.will_close = True


class BoundedConnection(HTTPConnection):
    """A connection of urllib3's that keeps to the thread's :data:`worker.refer2.exchange.exchange`."""

    idle_since = -math.inf
    """When its last exchange ended well; only then may there be another one. Minus infinity in the midst of one."""

    _unsent: list[bytes] | None = None
    _reader: _AnswerReader | None = None

    def exchange(self, request: bytes) -> Answer | None:
        """Send a whole request on the open connection and read the answer, if that is a plain one.

        None leaves the exchange to urllib3's way, which begins it, or goes on with what has come. It never sends the
        request again: :meth:`request` sends nothing of an exchange that was begun here. Blocks for up to the exchange's
        deadline, and raises nothing of what goes wrong outside.
        """
        sock = self.sock
        # TLS within TLS, for a proxy that is reached by TLS, is no socket: it may hold bytes that no look at one shows.
        if not isinstance(sock, socket.socket) or not self.is_connected or exchange.expired():
            return None
        self.idle_since = -math.inf
        begun = Begun(self)

        def receive() -> bytes:
            _set_timeout(sock)
            piece: bytes = sock.recv(_PIECE)
            begun.pieces.append(piece)
            return piece

        exchange.begun = begun
        try:
            _set_timeout(sock)
            sock.sendall(request)
            exchange.sent = True
        except OSError as error:
            begun.unsent = error
            return None
        try:
            answer = read_plain_answer(receive)
        except OSError as error:
            begun.unread = error
            return None
        if answer is not None:
            exchange.begun = None
            self.rest()
        return answer

    def rest(self) -> None:
        """Wait for the next exchange. Where more has come than the answer, the connection is closed instead.

        The next exchange would take the rest for its own answer, and with it another customer's referral.
        """
        if (self._reader is not None and self._reader.is_followed) or self._holds_more():
            self.close()
        self._reader = None
        self.idle_since = time.monotonic()

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
        self.idle_since = -math.inf
        try:
            super().request(*args, **kwargs)
            whole = b"".join(self._unsent)
        finally:
            self._unsent = None
        if (begun := self._begun()) is not None:
            if begun.unsent is not None:
                raise begun.unsent
            return
        # Checked last of all: a process that was frozen until now may have lost the job to another worker, and its open
        # connection would carry the call all the same.
        if exchange.expired():
            self.close()
            raise ConnectTimeoutError(self, "nothing was sent in the time of the whole exchange")
        if exchange.sent:
            raise http.client.CannotSendRequest("the exchange has sent its request already")
        super().send(whole)
        exchange.sent = True

    def send(self, data: Any) -> None:
        if self._unsent is None:
            super().send(data)
        else:
            self._unsent.append(data)

    def response_class(self, sock: socket.socket, **kwargs: Any) -> _DeadlineResponse:  # type: ignore[override]
        """The response of the exchange, which begins with the bytes that have come already."""
        # http.client calls it as the class that it mostly is.
        response = _DeadlineResponse(sock, self._begun(), **kwargs)
        exchange.begun = None
        self._reader = response.reader
        return response

    @property
    def is_connected(self) -> bool:
        """Whether the connection may be used. urllib3 asks this, and opens a new one for False."""
        if self.sock is not None and self._begun() is not None:
            return True
        return time.monotonic() - self.idle_since < exchange.longest_idle and super().is_connected

    def _begun(self) -> Begun | None:
        begun = exchange.begun
        return begun if begun is not None and begun.connection is self else None

    def _holds_more(self) -> bool:
        return False


class _BoundedTLSConnection(BoundedConnection, HTTPSConnection):
    def _holds_more(self) -> bool:
        # What TLS has decrypted already is no longer in the socket, where the look before an exchange would find it.
        return isinstance(self.sock, ssl.SSLSocket) and self.sock.pending() > 0


class BoundedPool(urllib3.HTTPConnectionPool):
    ConnectionCls = BoundedConnection

    kept: BoundedConnection | None = None
    """The connection of the last exchange, open or closed. It stays in the pool during a plain exchange, which is no
    risk, since a pool belongs to one thread."""

    def _put_conn(self, conn: Any) -> None:
        if conn is not None:
            conn.rest()
        self.kept = conn
        super()._put_conn(conn)


class _TLSPool(BoundedPool, urllib3.HTTPSConnectionPool):
    ConnectionCls = _BoundedTLSConnection


POOLS = {"http": BoundedPool, "https": _TLSPool}
"""Pools of such connections by scheme, in the form that `urllib3`'s pool managers take."""


def _set_timeout(sock: socket.socket) -> None:
    left = exchange.wait()
    # Setting a time-out is a system call, for which the thread also releases the interpreter's lock. Mostly the right
    # one is set already.
    if left != sock.gettimeout():
        sock.settimeout(left)
