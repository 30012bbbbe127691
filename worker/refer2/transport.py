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
from urllib.parse import urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.utils import DEFAULT_CA_BUNDLE_PATH
from urllib3.exceptions import HTTPError, ProxySchemeUnsupported

from worker.errors import ConfigurationError
from worker.network import tls
from worker.network.plaintext import is_this_machine
from worker.refer2.connections import POOLS, exchange
from worker.refer2.responses import Answer, Flaw
from worker.text.bounds import ANSWER

_HEADERS = {
    "Accept": "application/json",
    "Accept-Encoding": "identity",
    "Content-Type": "application/json",
    "User-Agent": "referral-dispatch",
}

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


class _Adapter(HTTPAdapter):
    """Keeps one connection per origin, directly or through one proxy, with one TLS configuration.

    requests itself parses the URL several times a call, and loads the trusted certificates for each connection, which
    costs 35 ms of CPU. Without that, and without its session's `send`, a call takes 0.42 ms in place of 1.42 on busy
    cores.
    """

    def __init__(self, tls: ssl.SSLContext, proxy: str | None) -> None:
        # One layer retries, and that is the dispatcher with its ledger. A retry down here would be a call that nobody
        # counts and no limit holds back.
        super().__init__(pool_connections=8, pool_maxsize=1, max_retries=0)
        pools: dict[str, Any] = {"num_pools": 8, "maxsize": 1, "ssl_context": tls}
        self._direct = urllib3.PoolManager(**pools)
        self._proxy = (
            urllib3.ProxyManager(proxy, proxy_headers=self.proxy_headers(proxy), proxy_ssl_context=tls, **pools)
            if proxy is not None
            else None
        )
        for manager in filter(None, (self._direct, self._proxy)):
            manager.pool_classes_by_scheme = POOLS
        self._through_the_proxy: set[str] = set()
        self._by_origin: dict[str, urllib3.HTTPConnectionPool] = {}

    def get_connection_with_tls_context(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> Any:
        """The pool of the request's origin."""
        origin, _path = _split(request.url or "")
        pool = self._by_origin.get(origin)
        if pool is None or pool.pool is None:
            manager = self._direct
            # For the proxy, loopback is its own machine. A base URL on loopback means this one.
            if self._proxy is not None and not is_this_machine(urlsplit(origin).hostname or ""):
                manager = self._proxy
                self._through_the_proxy.add(origin)
            pool = self._by_origin[origin] = manager.connection_from_url(origin)
        return pool

    def cert_verify(self, *_: Any, **__: Any) -> None:
        """Set nothing: the TLS configuration requires a valid certificate for the host, whatever a call asks for."""

    def request_url(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> str:
        """The target in the request line: the path, or the whole URL for a proxy that forwards plain HTTP."""
        url = request.url or ""
        origin, path = _split(url)
        return url if origin in self._through_the_proxy and url.startswith("http:") else path

    def build_response(self, req: requests.PreparedRequest, resp: Any) -> Any:
        """The raw response: requests' own would add a cookie jar that nobody reads."""
        del req
        return resp

    def close(self) -> None:
        """Close the connections."""
        for manager in filter(None, (self._direct, self._proxy)):
            manager.clear()
        super().close()


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
        adapter = _Adapter(tls, proxy)
        self._session.mount("https://", adapter)
        self._session.mount("http://", adapter)
        # One prepared request serves all calls of the thread, since preparing one takes as long as sending it. Its
        # headers are a plain dict, which saves 7 % of a call's CPU; nobody looks them up in another case.
        self._request = requests.Request("POST", "http://localhost/").prepare()
        self._request.headers = dict(_HEADERS)  # type: ignore[assignment] # a plain dict serves

    def post(self, url: str, token: str, body: bytes, *, largest: int = ANSWER.size) -> Answer | NoAnswer:
        """Post ``body`` and read the answer; blocks for up to the deadline. Redirects are answers, never followed.

        An answer of more than ``largest`` bytes, before or after decompression, counts as unreadable. Whatever goes
        wrong outside this process is in the value that is returned, and nothing of it is raised.
        """
        opened = self.open(url, token, body)
        return opened if isinstance(opened, Answer | NoAnswer) else read_answer(opened, largest)

    def open(self, url: str, token: str, body: bytes) -> urllib3.HTTPResponse | Answer | NoAnswer:
        """Post ``body`` and read the answer's head, as :meth:`post` does; the caller reads its body, or closes it."""
        request = self._request
        request.url = url
        request.body = body
        request.headers["Authorization"] = f"Bearer {token}"
        request.headers["Content-Length"] = str(len(body))
        exchange.start(read_timeout=self._read_timeout, longest_idle=self._longest_idle, seconds=self.deadline)
        try:
            # Not by the session's own `send`. It keeps cookies, and resolves redirects even if told not to follow them,
            # reading their bodies however large: a sixth of the call's CPU for nothing.
            response: Any = self._session.get_adapter(url).send(
                request, stream=True, timeout=(self._connect_timeout, self._read_timeout), proxies={}
            )
        except FOREIGN_ERRORS as error:
            if _is_refused_by_the_proxy(error):
                return Answer(HTTPStatus.PROXY_AUTHENTICATION_REQUIRED, None, b"")
            return no_answer(error, sent=exchange.sent)
        opened: urllib3.HTTPResponse = response
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


def _split(url: str) -> tuple[str, str]:
    scheme, _, host, path = url.split("/", 3)
    return f"{scheme}//{host}", f"/{path}"
