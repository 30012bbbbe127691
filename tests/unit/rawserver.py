"""An HTTP server on bare sockets that answers, or misbehaves, byte for byte as a test tells it."""

import contextlib
import json
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

CERTIFICATE = """\
-----BEGIN CERTIFICATE-----
MIIBqzCCAVGgAwIBAgIUY2rZLGTg6XNeK4Yji8gtzbdErD0wCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyMjIyMjUwNVoYDzIxMjYxMDI5
MjIyNTA1WjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAARqwNUQ1OMfISfCFZITDJHBg+wVm7gp4+ErmnE0WcyFTIIv4shVufCL
YFuK9nPDpK6MOSrVRRecuo+Hz09TIIRvo38wfTAdBgNVHQ4EFgQUofNBV/vPodGM
Fyg4WcSE7fMyS6YwHwYDVR0jBBgwFoAUofNBV/vPodGMFyg4WcSE7fMyS6YwGgYD
VR0RBBMwEYcEfwAAAYIJbG9jYWxob3N0MA8GA1UdEwEB/wQFMAMBAf8wDgYDVR0P
AQH/BAQDAgKEMAoGCCqGSM49BAMCA0gAMEUCIEGYR3OqpGcb5g7l1yyuDBkUYDOS
i7ir3+cjJ58SNCcNAiEA9D23qknwkLu65Iijm0/ZmXm75i1eAeFD5QGdMQHkIyU=
-----END CERTIFICATE-----
"""
"""A self-signed certificate for 127.0.0.1; it and its key exist for tests on the loopback interface only."""

KEY = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgOs8keTwZHriiPGSM
G3hgk1fytIH9gIKEzgQSqIbaK1ehRANCAARqwNUQ1OMfISfCFZITDJHBg+wVm7gp
4+ErmnE0WcyFTIIv4shVufCLYFuK9nPDpK6MOSrVRRecuo+Hz09TIIRv
-----END PRIVATE KEY-----
"""

Reply = Callable[["Connection"], None]
"""Answers one request on its connection; the connection stays open unless the reply closes it."""


class Connection:
    """The server's end of one connection, with what a reply may do to it.

    ``request`` is the one to answer, ``port`` the client's, 0 if that has gone already.
    """

    def __init__(self, sock: socket.socket, stopping: threading.Event) -> None:
        self.open = True
        self.port = 0
        with contextlib.suppress(OSError):
            self.port = sock.getpeername()[1]
        self.request = b""
        self._sock = sock
        self._stopping = stopping

    def send(self, data: bytes) -> None:
        """Send everything, unless the client has gone."""
        try:
            self._sock.sendall(data)
        except OSError:
            self.close()

    def wait(self, seconds: float) -> bool:
        """Wait; True when the server is being stopped."""
        return self._stopping.wait(seconds)

    def close(self) -> None:
        """Close in order: the client reads an end of file."""
        self.open = False
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        self._sock.close()

    def reset(self) -> None:
        """Close with a reset: the client reads an error."""
        self.open = False
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._sock.close()

    def tunnel(self, port: int) -> None:
        """Answer a CONNECT, and carry bytes to that port of 127.0.0.1 and back until one side ends."""
        self.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
        with socket.create_connection(("127.0.0.1", port)) as server:
            back = threading.Thread(target=_carry, args=(server, self._sock), daemon=True)
            back.start()
            _carry(self._sock, server)
            back.join(timeout=10)
        self.close()


class RawServer:
    """Serves on a free port of 127.0.0.1, a thread per connection, every request with the same ``reply``.

    ``requests`` holds each request read, head and body; ``connections`` counts those accepted.
    """

    def __init__(self, reply: Reply, *, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[bytes] = []
        self.connections = 0
        self._reply = reply
        self._tls = tls
        self._stopping = threading.Event()
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        for sock in (self._listener, *self._sockets):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
        for thread in self._threads:
            thread.join(timeout=10)

    def _start(self, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._sockets.append(sock)
            self._start(self._serve, sock)

    def _serve(self, sock: socket.socket) -> None:
        with contextlib.suppress(OSError):
            if self._tls:
                sock = self._tls.wrap_socket(sock, server_side=True)
                self._sockets.append(sock)
            connection = Connection(sock, self._stopping)
            while connection.open and (request := _read_request(sock)):
                self.requests.append(request)
                connection.request = request
                self._reply(connection)
            sock.close()


def _read_request(sock: socket.socket) -> bytes:
    received = b""
    while b"\r\n\r\n" not in received:
        part = sock.recv(65536)
        if not part:
            return b""
        received += part
    head, _, body = received.partition(b"\r\n\r\n")
    expected = int(fields_of(head).get("content-length", "0"))
    while len(body) < expected:
        part = sock.recv(65536)
        if not part:
            return b""
        body += part
    return head + b"\r\n\r\n" + body


def _carry(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)


def fields_of(request: bytes) -> dict[str, str]:
    """The header fields of a request, names in lower case."""
    lines = request.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")[1:]
    return {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}


def body_of(request: bytes) -> Any:
    """The JSON body of a request."""
    return json.loads(request.partition(b"\r\n\r\n")[2])


def response(
    status: int, body: bytes | object = b"", headers: Mapping[str, str] | None = None, *, length: int | None = None
) -> bytes:
    """A response with its length, which may be a lie; a body that isn't bytes is made JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    fields = {"Content-Length": str(len(content) if length is None else length), **(headers or {})}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"HTTP/1.1 {status} Status\r\n{head}\r\n".encode("latin-1") + content


def sends(data: bytes, *, then: Reply | None = None) -> Reply:
    """Sends the bytes and keeps the connection, or does something else ``then``."""

    def reply(connection: Connection) -> None:
        connection.send(data)
        if then is not None:
            then(connection)

    return reply


def in_turn(*replies: Reply) -> Reply:
    """Answers each request by the next reply, and all further ones by the last."""
    left = list(replies)

    def reply(connection: Connection) -> None:
        (left.pop(0) if len(left) > 1 else left[0])(connection)

    return reply


def drips(data: bytes, *, at_once: int, every: float) -> Reply:
    """Sends the first ``at_once`` bytes, then the others one by one ``every`` so many seconds."""

    def reply(connection: Connection) -> None:
        connection.send(data[:at_once])
        for place in range(at_once, len(data)):
            if connection.wait(every) or not connection.open:
                return
            connection.send(data[place : place + 1])

    return reply


def server_tls(folder: Path) -> ssl.SSLContext:
    """The server's side of TLS with the certificate above, which is left in ``folder`` as ``server.pem``."""
    path = folder / "server.pem"
    path.write_text(CERTIFICATE + KEY)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context
