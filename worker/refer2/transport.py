"""One HTTP exchange on `requests`, bounded in time and size.

This is the boundary of the HTTP libraries: whatever they raise becomes a value here. What matters about a failure is
whether the whole request had left, since then the call may have been carried out.
"""

import http.client
import ssl
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Literal

import requests
import urllib3
from requests.utils import DEFAULT_CA_BUNDLE_PATH
from urllib3.exceptions import HTTPError, ProxySchemeUnsupported

from worker.errors import ConfigurationError
from worker.model.trace_context import TRACEPARENT
from worker.network import tls
from worker.refer2.adapter import Adapter
from worker.refer2.exchange import exchange
from worker.refer2.request_head import HEADERS
from worker.refer2.responses import Answer, Flaw
from worker.text.bounds import ANSWER

LONGEST_IDLE_SECONDS = 4.0
"""A connection that was idle for longer isn't reused. Servers close idle ones after 5 s (Node, uvicorn) or more. A
request that crosses such a close is lost, and nobody knows whether it was carried out."""

FOREIGN_ERRORS = (OSError, HTTPError, http.client.HTTPException, ProxySchemeUnsupported)
"""What `requests`, `urllib3`, `http.client`, `ssl` and sockets raise; ``OSError`` is the base of requests' own."""

_REFUSED_BY_THE_PROXY = f"Tunnel connection failed: {HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:d} "

_TIMEOUTS = (TimeoutError, requests.Timeout, urllib3.exceptions.TimeoutError)


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """No status came. ``sent`` says whether the whole request had left, so that it may have been carried out.

    ``reason`` is for a log line: the kinds of the errors, and the system's own words where nothing was sent.
    """

    sent: bool
    flaw: Literal["timeout", "connection_lost"]
    reason: str


class Transport:
    """Posts JSON and reads the answer. Belongs to one thread: it holds that thread's session and connections.

    Times are in seconds. ``connect_timeout`` holds for each address of a host, ``read_timeout`` for the longest silence
    and ``deadline`` for the whole exchange. A resolver that hangs comes on top of it, but then nothing is sent. A
    connection that was idle for ``longest_idle`` is not reused.
    """

    def __init__(
        self,
        *,
        tls: ssl.SSLContext,
        proxy: str | None,
        connect_timeout: float,
        read_timeout: float,
        deadline: float,
        longest_idle: float = LONGEST_IDLE_SECONDS,
    ) -> None:
        self._connect_timeout = connect_timeout
        self._read_timeout = read_timeout
        self.deadline = deadline
        self._longest_idle = longest_idle
        self._session = requests.Session()
        # Take neither a proxy nor credentials from the environment or a .netrc: the settings name the proxy.
        self._session.trust_env = False
        adapter = Adapter(tls, proxy)
        self._session.mount("https://", adapter)
        self._session.mount("http://", adapter)
        # One prepared request serves all calls of the thread, since preparing one takes as long as sending it. Its
        # headers are a plain dict, which saves 7 % of a call's CPU; nobody looks them up in another case.
        self._request = requests.Request("POST", "http://localhost/").prepare()
        self._request.headers = dict(HEADERS)  # type: ignore[assignment] # a plain dict serves

    def post(
        self, url: str, token: str, body: bytes, *, largest: int = ANSWER.size, traceparent: str | None = None
    ) -> Answer | NoAnswer:
        """Post ``body`` and read the answer; blocks for up to the deadline. Redirects are answers, never followed.

        An answer of more than ``largest`` bytes, before or after decompression, counts as unreadable. Whatever goes
        wrong outside this process is in the value that is returned, and nothing of it is raised. ``traceparent`` is the
        header of that name.
        """
        opened = self._send(url, token, body, stream=False, traceparent=traceparent)
        return opened if isinstance(opened, Answer | NoAnswer) else read_answer(opened, largest)

    def open(self, url: str, token: str, body: bytes) -> urllib3.HTTPResponse | Answer | NoAnswer:
        """Post ``body`` and read the answer's head, as :meth:`post` does; the caller reads its body, or closes it."""
        return self._send(url, token, body, stream=True)

    def _send(
        self, url: str, token: str, body: bytes, *, stream: bool, traceparent: str | None = None
    ) -> urllib3.HTTPResponse | Answer | NoAnswer:
        request = self._request
        request.url = url
        request.body = body
        request.headers["Authorization"] = f"Bearer {token}"
        request.headers["Content-Length"] = str(len(body))
        request.headers.pop(TRACEPARENT, None)
        if traceparent is not None:
            request.headers[TRACEPARENT] = traceparent
        exchange.start(read_timeout=self._read_timeout, longest_idle=self._longest_idle, seconds=self.deadline)
        try:
            # Not by the session's own `send`. It keeps cookies, and resolves redirects even if told not to follow them,
            # reading their bodies however large: a sixth of the call's CPU for nothing.
            response: Any = self._session.get_adapter(url).send(
                request, stream=stream, timeout=(self._connect_timeout, self._read_timeout), proxies={}
            )
        except FOREIGN_ERRORS as error:
            if _is_refused_by_the_proxy(error):
                return Answer(HTTPStatus.PROXY_AUTHENTICATION_REQUIRED, None, b"")
            return no_answer(error, sent=exchange.sent)
        opened: urllib3.HTTPResponse | Answer = response
        return opened

    def close(self) -> None:
        """Close the connections."""
        self._session.close()


def tls_context(ca_file: Path | None) -> ssl.SSLContext:
    """A TLS configuration that trusts the authorities of a PEM file, or the public ones; one serves all threads.

    Raises:
      ConfigurationError: the file holds no certificates.
    """
    try:
        return tls.context(ca_file or DEFAULT_CA_BUNDLE_PATH)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(f"{ca_file}: no certificates that can be read: {type(error).__name__}") from None


def no_answer(error: Exception, *, sent: bool) -> NoAnswer:
    """What an error of the libraries means, for any of :data:`FOREIGN_ERRORS`.

    Whether the request had left decides, and not the error's class: one class stands for a refused connection and for
    one that was reset after the request. So it is with the classic race, a server that closes an idle connection while
    a request is on its way: nothing distinguishes it from a server that died at work.
    """
    chain = list(_causes(error))
    timed_out = any(isinstance(cause, _TIMEOUTS) for cause in chain)
    reason = " < ".join(type(cause).__name__ for cause in chain)
    if not sent and isinstance(chain[-1], OSError) and not isinstance(chain[-1], requests.RequestException):
        # Before anything was sent, the system's words are about hosts and certificates. Later ones can quote the
        # answer, and with it a customer.
        reason = f"{reason}: {chain[-1]}"
    return NoAnswer(sent, "timeout" if timed_out else "connection_lost", reason[:300])


def _is_refused_by_the_proxy(error: Exception) -> bool:
    # Before TLS begins, only the proxy can have answered. http.client has its status only in the error's text.
    return any(str(cause).startswith(_REFUSED_BY_THE_PROXY) for cause in _causes(error))


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        cause = cause.__cause__ or cause.__context__


def read_answer(raw: urllib3.HTTPResponse, largest: int) -> Answer:
    """The answer whose head was read, with its body; bounds and errors are those of :meth:`Transport.post`."""
    body = b""
    flaw: Flaw | None = None
    status = raw.status
    if status < 200:
        # The final answer may still come on this connection, and the next request would take it for its own.
        raw.close()
        return Answer(status, None, b"", "unreadable_answer")
    try:
        body = _read_body(raw, largest)
    except _UnreadableError:
        flaw = "unreadable_answer"
    except FOREIGN_ERRORS as error:
        flaw = no_answer(error, sent=True).flaw
    if flaw:
        raw.close()
    return Answer(status, raw.headers.get("Retry-After"), body, flaw)


class _UnreadableError(Exception):
    """The body is larger than any answer, or in a coding that was not asked for."""


def _read_body(raw: urllib3.HTTPResponse, largest: int) -> bytes:
    parts = []
    room = largest
    # One byte more than there is room for is asked for: if it comes, the body is too large.
    while part := raw.read(room + 1, decode_content=False):
        parts.append(part)
        room -= len(part)
        if room < 0:
            raise _UnreadableError
        if raw.length_remaining == 0:
            break
    body = b"".join(parts)
    coding = raw.headers.get("Content-Encoding", "identity").strip().lower()
    return body if coding == "identity" or not body else _inflate(body, coding, largest)


def _inflate(body: bytes, coding: str, largest: int) -> bytes:
    # The request declines compression, but a proxy may compress all the same. The bound holds while inflating: 1 MiB
    # can hold a gigabyte.
    if coding not in ("gzip", "x-gzip", "deflate"):
        raise _UnreadableError
    inflater = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
    try:
        plain = inflater.decompress(body, largest + 1)
    except zlib.error:
        raise _UnreadableError from None
    if len(plain) > largest:
        raise _UnreadableError
    return plain
