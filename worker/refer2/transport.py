"""One HTTP exchange on `requests`, bounded in time and size; whatever the library raises becomes a value here."""

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
"""A connection idle for longer isn't used again. Servers close theirs after 5 s (Node, uvicorn) or more, and a request
that crosses such a close is lost without a trace of whether it was done."""

FOREIGN_ERRORS = (OSError, HTTPError, http.client.HTTPException, ProxySchemeUnsupported)
"""What `requests`, `urllib3`, `http.client`, `ssl` and the sockets raise; ``OSError`` is the base of requests' own."""

_REFUSED_BY_THE_PROXY = f"Tunnel connection failed: {HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:d} "

_TIMEOUTS = (TimeoutError, requests.Timeout, urllib3.exceptions.TimeoutError)


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """No status came. ``sent`` tells whether the whole request had left by then, so that it may have been done.

    ``reason`` is for a log line: the kinds of the errors, and the system's own words where nothing was sent.
    """

    sent: bool
    flaw: Literal["timeout", "connection_lost"]
    reason: str


class _Adapter(HTTPAdapter):
    """Keeps one connection per origin, directly or through one proxy, with one TLS configuration.

    requests itself would take the URL apart several times a call and load the trusted certificates, 35 ms of CPU, for
    each connection. Without that and its session's `send` a call takes 0.42 ms in place of 1.42 on busy cores.
    """

    def __init__(self, tls: ssl.SSLContext, proxy: str | None) -> None:
        # One layer retries, and that is the dispatcher with its ledger: a retry down here would be an attempt that
        # nobody counts, at a pace that nobody limits.
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
            # For a proxy loopback is another machine, which is none of the proxy's business.
            if self._proxy is not None and not is_this_machine(urlsplit(origin).hostname or ""):
                manager = self._proxy
                self._through_the_proxy.add(origin)
            pool = self._by_origin[origin] = manager.connection_from_url(origin)
        return pool

    def cert_verify(self, *_: Any, **__: Any) -> None:
        """Nothing to set: the TLS configuration demands a valid certificate for the host whatever a call says."""

    def request_url(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> str:
        """What stands in the request line: the path, or the whole URL for a proxy that forwards plain HTTP."""
        url = request.url or ""
        origin, path = _split(url)
        return url if origin in self._through_the_proxy and url.startswith("http:") else path

    def build_response(self, req: requests.PreparedRequest, resp: Any) -> Any:
        """The raw response as it is: requests' own would add a cookie jar that nobody looks into."""
        del req
        return resp

    def close(self) -> None:
        """Close the connections."""
        for manager in filter(None, (self._direct, self._proxy)):
            manager.clear()
        super().close()


class Transport:
    """Posts JSON and reads what comes back. For one thread: it holds that thread's session and its connections.

    Times are in seconds: ``connect_timeout`` per address, ``read_timeout`` the longest silence, ``deadline`` the
    whole exchange (a resolver that hangs comes on top of it, but then nothing is sent), ``longest_idle`` a connection's
    pause before it is not used again.
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
        self._deadline = deadline
        self._longest_idle = longest_idle
        self._session = requests.Session()
        # Neither a proxy nor credentials from the environment or a .netrc: the adapter knows the proxy.
        self._session.trust_env = False
        adapter = _Adapter(tls, proxy)
        self._session.mount("https://", adapter)
        self._session.mount("http://", adapter)
        # One prepared request serves every call of the thread, since preparing one takes as long as sending it. Its
        # headers are a plain dict: nobody looks them up in another case, and it saves 7 % of the call's CPU.
        self._request = requests.Request("POST", "http://localhost/").prepare()
        self._request.headers = dict(_HEADERS)  # type: ignore[assignment] # a plain dict serves

    def post(self, url: str, token: str, body: bytes, *, largest: int = ANSWER.size) -> Answer | NoAnswer:
        """Post ``body`` and read the answer; blocks for up to the deadline. Redirects are answers, never followed.

        An answer of more than ``largest`` bytes, before or after decompression, counts as unreadable.

        Raises nothing of the outside world's: what goes wrong there is told by the value.
        """
        request = self._request
        request.url = url
        request.body = body
        request.headers["Authorization"] = f"Bearer {token}"
        request.headers["Content-Length"] = str(len(body))
        exchange.start(read_timeout=self._read_timeout, longest_idle=self._longest_idle, seconds=self._deadline)
        try:
            # Past the session's own `send`, which keeps cookies and resolves redirects, also those that it was told not
            # to follow, whose body it then reads however large: a sixth of the call's CPU for nothing.
            response: Any = self._session.get_adapter(url).send(
                request, stream=True, timeout=(self._connect_timeout, self._read_timeout), proxies={}
            )
        except FOREIGN_ERRORS as error:
            if _is_refused_by_the_proxy(error):
                return Answer(HTTPStatus.PROXY_AUTHENTICATION_REQUIRED, None, b"")
            return no_answer(error, sent=exchange.sent)
        return _read(response.status, response, largest)

    def close(self) -> None:
        """Close the connections."""
        self._session.close()


def tls_context(ca_file: Path | None) -> ssl.SSLContext:
    """A configuration that trusts the authorities of a PEM file, or the public ones; one serves all threads.

    Raises:
      ConfigurationError: the file holds no certificates.
    """
    try:
        return tls.context(ca_file or DEFAULT_CA_BUNDLE_PATH)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(f"{ca_file}: no certificates that can be read: {type(error).__name__}") from None


def no_answer(error: Exception, *, sent: bool) -> NoAnswer:
    """What an error of the libraries means, for any of :data:`FOREIGN_ERRORS`.

    Whether the request had left decides, not the error's class: one and the same class stands for a refused
    connection and for one that was reset after the request. That holds for the classic race too, a server that closes
    an idle connection while a request is on its way to it: nothing tells it from a server that died at work.
    """
    chain = list(_causes(error))
    timed_out = any(isinstance(cause, _TIMEOUTS) for cause in chain)
    reason = " < ".join(type(cause).__name__ for cause in chain)
    if not sent and isinstance(chain[-1], OSError) and not isinstance(chain[-1], requests.RequestException):
        # Before anything was sent the system speaks of hosts and certificates; later errors can quote the answer.
        reason = f"{reason}: {chain[-1]}"
    return NoAnswer(sent, "timeout" if timed_out else "connection_lost", reason[:300])


def _is_refused_by_the_proxy(error: Exception) -> bool:
    # Before TLS with Refer2 there is only the proxy to answer; http.client has its status in the text alone.
    return any(str(cause).startswith(_REFUSED_BY_THE_PROXY) for cause in _causes(error))


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        cause = cause.__cause__ or cause.__context__


def _read(status: int, raw: urllib3.HTTPResponse, largest: int) -> Answer:
    body = b""
    flaw: Flaw | None = None
    if status < 200:
        # The final answer is still to come on this connection, where the next request would take it for its own.
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
    """The body is larger than any answer or in a coding that wasn't asked for."""


def _read_body(raw: urllib3.HTTPResponse, largest: int) -> bytes:
    parts = []
    room = largest
    # One byte more than there is room for tells a body that fits from one that goes on.
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
    # Compression is declined, but a proxy may not listen. The bound holds while inflating: 1 MiB can hold a gigabyte.
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
