"""The options of the store's URL: which are accepted, and what they say about TLS. None switches verification off."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

from worker.errors import ConfigurationError
from worker.network import tls
from worker.text import quoting

_TLS_OPTIONS = frozenset({"ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile", "ssl_min_version"})

_URL_OPTIONS = _TLS_OPTIONS | {"db"}
"""Options that a URL may have. The client accepts more, some of which (``ssl_cert_reqs=none``) would encrypt a
connection to any server that answers."""


def _refuse_others(url: str) -> None:
    parts = urlsplit(url)
    for name in parse_qs(parts.query, keep_blank_values=True):
        if name not in _URL_OPTIONS:
            verified = "; certificate and host name are always verified" if name.startswith("ssl_") else ""
            raise ConfigurationError(
                f"REFERRALS_REDIS_URL: leave out the option {quoting.name(name)}{verified}; "
                f"there are {', '.join(sorted(_URL_OPTIONS))}"
            )
        if name in _TLS_OPTIONS and parts.scheme != "rediss":
            raise ConfigurationError(f"REFERRALS_REDIS_URL: {name} is for rediss://, and this URL is {parts.scheme}://")


def _refuse_what_is_dropped(url: str) -> None:
    parts = urlsplit(url)
    options = parse_qs(parts.query, keep_blank_values=True)
    for name, (value, *more) in options.items():
        if more:
            # Which one counts is no matter of course: the client takes the first, other programs the last.
            raise ConfigurationError(f"REFERRALS_REDIS_URL: {name}: is given twice; keep one of them")
        if not value:
            raise ConfigurationError(f"REFERRALS_REDIS_URL: {name}: has no value; give it one, or leave it out")
    if "db" in options and not options["db"][0].isdecimal():
        raise ConfigurationError("REFERRALS_REDIS_URL: db: is not the number of a database, such as 0")
    if "#" in url:
        raise ConfigurationError("REFERRALS_REDIS_URL: what follows a # is dropped; write %23 for it")
    if parts.scheme == "unix" and parts.hostname:
        raise ConfigurationError(
            "REFERRALS_REDIS_URL: a socket's path begins with a /, so write three of them: unix:///"
        )
    if parts.scheme != "unix" and "db" in options and parts.path.strip("/"):
        raise ConfigurationError("REFERRALS_REDIS_URL: names a database twice, in its path and as db; keep one of them")


def client_options(url: str) -> dict[str, Any]:
    """What to give the client besides the URL, whose own options it reads only when it first connects.

    Raises:
      ConfigurationError: the URL has an option that is not accepted, names a file that can't be used, or requires a
        version of TLS that is too old. The line quotes only what can be no secret.
    """
    _refuse_others(url)
    _refuse_what_is_dropped(url)
    parts = urlsplit(url)
    if parts.scheme != "rediss":
        return {}
    options = {name: value for name, (value,) in parse_qs(parts.query).items()}
    authorities, folder = options.get("ssl_ca_certs"), options.get("ssl_ca_path")
    certificate, key = options.get("ssl_certfile"), options.get("ssl_keyfile")
    with _usable("ssl_ca_certs, ssl_ca_path", authorities, folder):
        context = tls.context(authorities, folder)
    if key is not None and certificate is None:
        raise ConfigurationError("REFERRALS_REDIS_URL: ssl_keyfile without ssl_certfile: name the key's certificate")
    if certificate is not None:
        with _usable("ssl_certfile, ssl_keyfile", certificate, key):
            # Without a password OpenSSL would ask the terminal.
            context.load_cert_chain(certificate, key, password="")
    wanted = options.get("ssl_min_version")
    if wanted is None:
        return {"ssl_min_version": context.minimum_version}
    if not (wanted.isdecimal() and len(wanted) < 6 and int(wanted) >= tls.FLOOR):
        raise ConfigurationError(
            f"REFERRALS_REDIS_URL: ssl_min_version: must be {int(tls.FLOOR)} (TLS 1.2, as without it) or "
            f"{int(ssl.TLSVersion.TLSv1_3)} (TLS 1.3)"
        )
    return {}


@contextmanager
def _usable(options: str, *values: str | None) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:
        what = "does not hold what it should in PEM" if isinstance(error, ssl.SSLError) else None
        files = ", ".join(quoting.path(value) for value in values if value is not None)
        reason = what or getattr(error, "strerror", None) or "can't be read"
        raise ConfigurationError(f"REFERRALS_REDIS_URL: {options}: {files}: {reason}") from None
