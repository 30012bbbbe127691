"""A name for a server that may become another's: connections that stand stay where they are, new ones go elsewhere."""

import contextlib
import socket
import threading
import time
import urllib.parse
from collections.abc import Iterator
from types import TracebackType
from typing import Self


class Forwarder:
    """Listens on a ``port`` and passes bytes on to ``target``, a port of 127.0.0.1, which may be changed.

    ``rate``: bytes a second that a connection takes each way, as a slow network would; None for no bound. It may be
    changed too. ``passed`` is how many bytes have been passed on, each way together. What is read at once and has
    ``drop`` in it is dropped and counted in ``dropped``.
    """

    drop: bytes | None = None
    dropped = 0

    def __init__(self, target: int, host: str = "127.0.0.1", *, rate: int | None = None) -> None:
        self.target = target
        self.rate = rate
        self.passed = 0
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._listener = socket.create_server(
            (host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=128
        )
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def connections(self) -> int:
        """How many stand."""
        with self._lock:
            return len(self._open) // 2

    def close(self) -> None:
        """Cut every connection and take no more."""
        with self._lock:
            for each in (self._listener, *self._open):
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                try:
                    server = socket.create_connection(("127.0.0.1", self.target))
                except OSError:
                    client.close()
                    continue
                with self._lock:
                    self._open |= {client, server}
                for source, sink in ((client, server), (server, client)):
                    threading.Thread(target=self._copy, args=(source, sink), daemon=True).start()

    def _copy(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536 if self.rate is None else max(1, self.rate // 20)):
                if self.drop is not None and self.drop in data:
                    self.dropped += 1
                    continue
                sink.sendall(data)
                with self._lock:
                    self.passed += len(data)
                if (rate := self.rate) is not None:
                    time.sleep(len(data) / rate)
        for each in (source, sink):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        # Each is the source of one of the two.
        source.close()
        with self._lock:
            self._open.discard(source)


@contextlib.contextmanager
def slow_way(url: str, rate: int) -> Iterator[tuple[Forwarder, str]]:
    """A way to the server of this URL, and the URL through it: so slow, by ``rate``, that what a test does in the
    middle of something does not come too late, however fast the machine and the code become."""
    own = urllib.parse.urlsplit(url)
    assert own.port is not None
    with Forwarder(own.port, rate=rate) as forwarder:
        yield forwarder, own._replace(netloc=own.netloc.replace(f":{own.port}", f":{forwarder.port}")).geturl()
