"""TLS of an ``amqps`` URL: which authorities it trusts, and which certificate it shows.

Both stand in the URL's query, under the names that RabbitMQ's own clients use: ``cacertfile``, ``certfile``,
``keyfile``, ``server_name_indication``. The server's certificate and name are always verified, with TLS 1.2 or later.
No option of a URL can change that, since only the options listed here are accepted.
"""

import ssl
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import pika

from worker.errors import ConfigurationError
from worker.network import tls
from worker.text import quoting

OPTIONS = frozenset({"cacertfile", "certfile", "keyfile", "server_name_indication"})

PIKA_OPTIONS = frozenset(
    {
        "blocked_connection_timeout",
        "channel_max",
        "client_properties",
        "connection_attempts",
        "heartbeat",
        "locale",
        "retry_delay",
        "socket_timeout",
        "stack_timeout",
        "tcp_options",
    }
)
"""What pika accepts besides. Its ``ssl_options`` are not among them: a protocol version there switches the verification
off. Nor is ``frame_max``: copies of jobs fill frames of the usual size, and would not fit into smaller ones."""


def split_off_tls(url: str) -> tuple[str, pika.SSLOptions | None]:
    """The URL without its TLS options, and the TLS that they ask for: None for ``amqp``. Reads the files they name.

    Raises:
      ConfigurationError: a file can't be used, or the options make no sense. Names the option, and the file only where
        the value is surely a file's name: it might be a pasted secret.
    """
    parts = urlsplit(url)
    query = parse_qsl(parts.query, keep_blank_values=True)
    ours = {name: value for name, value in query if name in OPTIONS}
    if any(name == "frame_max" for name, _ in query):
        raise _unusable("leave out frame_max; dead letters and delayed jobs need RabbitMQ's usual frames")
    if strange := sorted({name for name, _ in query} - OPTIONS - PIKA_OPTIONS):
        known = ", ".join(sorted(OPTIONS | PIKA_OPTIONS))
        raise _unusable(f"leave out the option {quoting.name(strange[0])}; there are {known}")
    if parts.scheme != "amqps":
        if ours:
            raise _unusable(f"{min(ours)} is for amqps://, and this URL is {parts.scheme}://")
        return url, None
    rest = urlencode([(name, value) for name, value in query if name not in OPTIONS])
    options = pika.SSLOptions(_context(ours), ours.get("server_name_indication"))
    return urlunsplit(parts._replace(query=rest)), options


def _context(options: dict[str, str]) -> ssl.SSLContext:
    authorities, certificate, key = options.get("cacertfile"), options.get("certfile"), options.get("keyfile")
    try:
        context = tls.context(authorities)
    except (OSError, ValueError) as error:
        raise _unusable(f"cacertfile: {quoting.path(authorities or '')}: {_reason(error, 'certificates')}") from None
    if key is not None and certificate is None:
        raise _unusable("keyfile without certfile: name the certificate that the key is for")
    if certificate is not None:
        try:
            context.load_cert_chain(certificate, key, password=_no_password)
        except (OSError, ValueError) as error:
            files = f"certfile: {quoting.path(certificate)}" + (f", keyfile: {quoting.path(key)}" if key else "")
            raise _unusable(f"{files}: {_reason(error, 'a certificate and its unencrypted key')}") from None
    return context


def _no_password() -> str:
    # Without this OpenSSL would ask the terminal for the password of an encrypted key, and block.
    return ""


def _reason(error: Exception, wanted: str) -> str:
    # A file that isn't PEM, or a key of another certificate, is an SSLError. Its text names a line of OpenSSL's source.
    if isinstance(error, ssl.SSLError):
        return f"does not hold {wanted} in PEM"
    # A ValueError, for a path with a zero byte, has no strerror.
    return getattr(error, "strerror", None) or "can't be read"


def _unusable(problem: str) -> ConfigurationError:
    return ConfigurationError(f"REFERRALS_AMQP_URL: {problem}")
