"""The store over TLS: a server whose certificate isn't trusted gets nothing to see."""

import contextlib
import secrets
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.store.worlds import finish
from tests.services import Valkey
from tests.unit.making import make_request
from tests.unit.rawserver import server_tls
from worker.clock import SystemClock
from worker.errors import ConfigurationError, StoreError
from worker.store.redis.store import RedisStore


class Tunnel:
    """Ends TLS in front of a server that has none. Valkey's build in the wheel is one without."""

    def __init__(self, context: ssl.SSLContext, port: int) -> None:
        self._context = context
        self._target = port
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._start(self._accept)

    def close(self) -> None:
        """Cut all connections and wait for the threads."""
        for each in (self._listener, *self._sockets):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        for thread in self._threads:
            thread.join(timeout=10)

    def _start(self, target: object, *arguments: socket.socket) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)  # type: ignore[arg-type]  # any callable
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                plain, _ = self._listener.accept()
                self._sockets.append(plain)
                try:
                    client = self._context.wrap_socket(plain, server_side=True)
                except OSError:
                    plain.close()
                    continue
                server = socket.create_connection(("127.0.0.1", self._target))
                self._sockets += [client, server]
                self._start(self._copy, client, server)
                self._start(self._copy, server, client)

    @staticmethod
    def _copy(source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_RDWR)


def database(url: str) -> str:
    """The number of the URL's database."""
    return url.rpartition("/")[2]


@pytest.fixture
def tunnel(valkey: Valkey, tmp_path: Path) -> Iterator[Tunnel]:
    """TLS in front of the session's Valkey; the certificate is ``server.pem``."""
    made = Tunnel(server_tls(tmp_path), int(valkey.record["port"]))
    yield made
    made.close()


def test_a_trusted_certificate(tunnel: Tunnel, redis_url: str, tmp_path: Path) -> None:
    """With the authority named in the URL the store works over TLS."""
    url = f"rediss://127.0.0.1:{tunnel.port}/{database(redis_url)}?ssl_ca_certs={tmp_path / 'server.pem'}"
    store = RedisStore(url, SystemClock())
    store.check()
    # A shop of its own: the server may have been kept from an earlier run, and remembers what was finished then.
    finish(store, make_request(shop=f"tls-{secrets.token_hex(4)}"))
    store.close()


def test_an_unknown_certificate(tunnel: Tunnel) -> None:
    """A certificate of an unknown authority is refused, and the line says so."""
    store = RedisStore(f"rediss://127.0.0.1:{tunnel.port}/0", SystemClock())
    with pytest.raises(StoreError, match="certificate verify failed"):
        store.check()
    store.close()


def test_a_certificate_of_another_host(tunnel: Tunnel, tmp_path: Path) -> None:
    """A trusted certificate is refused under another name: 127.1 is the same address and not what it says."""
    url = f"rediss://127.1:{tunnel.port}/0?ssl_ca_certs={tmp_path / 'server.pem'}"
    store = RedisStore(url, SystemClock())
    with pytest.raises(StoreError, match="certificate verify failed"):
        store.check()
    store.close()


@pytest.mark.parametrize(
    "option", ["ssl_cert_reqs=none", "ssl_check_hostname=false", "ssl_ciphers=NULL", "ssl_exclude_verify_flags=x"]
)
def test_nothing_switches_verification_off(option: str) -> None:
    """An option that would trust any server is refused in one line that names it."""
    with pytest.raises(
        ConfigurationError, match=rf"^REFERRALS_REDIS_URL: leave out the option '{option.split('=')[0]}'; "
    ):
        RedisStore(f"rediss://127.0.0.1:6379/9?{option}", SystemClock())
