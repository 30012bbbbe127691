"""Whether a port that gave no usable answer is one for TLS or one without: tested by a connection, not guessed."""

import socket
import ssl
from urllib.parse import urlsplit

from worker.network import tls
from worker.store.redis.refusals import TIMEOUT_SECONDS

_DEFAULT_PORT = 6379


def wrong_scheme(url: str) -> str | None:
    """What is wrong with the URL's scheme, and the remedy; None where nothing shows. Sends no password.

    Blocks for a second at most, two time-outs of 0.5 s: connecting, and the first byte.
    """
    parts = urlsplit(url)
    place = (parts.hostname or "", parts.port or _DEFAULT_PORT)
    if parts.scheme == "rediss" and _speaks_plainly(place):
        return "is asked for TLS at a port without it; name its port for TLS, or write redis:// for rediss://"
    if parts.scheme == "redis" and _speaks_tls(place):
        return "is asked without TLS at a port for it; write rediss:// for redis://"
    return None


def _speaks_plainly(place: tuple[str, int]) -> bool:
    try:
        with socket.create_connection(place, TIMEOUT_SECONDS) as connection:
            # An inline command: a server without TLS answers +PONG, or -NOAUTH where it wants a password first.
            connection.sendall(b"PING\r\n")
            return connection.recv(1) in (b"+", b"-")
    except OSError:
        return False


def _speaks_tls(place: tuple[str, int]) -> bool:
    try:
        with (
            socket.create_connection(place, TIMEOUT_SECONDS) as connection,
            tls.context().wrap_socket(connection, server_hostname=place[0]),
        ):
            return True
    # It has shown a certificate, though none that is trusted: it speaks TLS.
    except ssl.SSLCertVerificationError:
        return True
    except OSError:
        return False
