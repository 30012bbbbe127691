"""TLS of an ``amqps`` URL: which authorities it trusts, and which certificate it shows.

Told in the URL's query, by the names that RabbitMQ gives them in its own clients' URLs: ``cacertfile``, ``certfile``,
``keyfile``, ``server_name_indication``. The server's certificate and name are always verified.
"""

import ssl
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import pika

from worker.errors import ConfigurationError

OPTIONS = frozenset({"cacertfile", "certfile", "keyfile", "server_name_indication"})


def take_tls(url: str) -> tuple[str, pika.SSLOptions | None]:
    """The URL without these options, and what they ask for: None where there are none, which is pika's own default.

    Raises:
      ConfigurationError: a file can't be used, or the options make no sense; names the option and the file.
    """
    parts = urlsplit(url)
    query = parse_qsl(parts.query, keep_blank_values=True)
    told = {name: value for name, value in query if name in OPTIONS}
    if any(name == "ssl_options" for name, _ in query):
        # pika's own: a protocol version in it can switch the verification off.
        raise _unusable(f"leave out ssl_options; there are {', '.join(sorted(OPTIONS))}")
    if not told:
        return url, None
    if parts.scheme != "amqps":
        raise _unusable(f"{min(told)} is for amqps://, and this URL is {parts.scheme}://")
    rest = urlencode([(name, value) for name, value in query if name not in OPTIONS])
    options = pika.SSLOptions(_context(told), told.get("server_name_indication"))
    return urlunsplit(parts._replace(query=rest)), options


def _context(told: dict[str, str]) -> ssl.SSLContext:
    authorities, certificate, key = told.get("cacertfile"), told.get("certfile"), told.get("keyfile")
    try:
        context = ssl.create_default_context(cafile=authorities)
    except OSError as error:
        raise _unusable(f"cacertfile {authorities}: {_reason(error, 'certificates')}") from None
    if key is not None and certificate is None:
        raise _unusable("keyfile without certfile: name the certificate that the key is for")
    if certificate is not None:
        try:
            context.load_cert_chain(certificate, key, password=_no_password)
        except OSError as error:
            files = f"certfile {certificate}" + (f", keyfile {key}" if key else "")
            raise _unusable(f"{files}: {_reason(error, 'a certificate and its unencrypted key')}") from None
    return context


def _no_password() -> str:
    # Else OpenSSL would ask the terminal.
    return ""


def _reason(error: OSError, wanted: str) -> str:
    # What isn't PEM, or doesn't fit together, is an SSLError: its text names a line of OpenSSL's source.
    return f"does not hold {wanted} in PEM" if isinstance(error, ssl.SSLError) else error.strerror or "can't be read"


def _unusable(problem: str) -> ConfigurationError:
    return ConfigurationError(f"REFERRALS_AMQP_URL: {problem}")
