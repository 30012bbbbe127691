"""Where a connection without TLS may lead: to this machine, within a cluster, or to a host that the operator allows."""

import re
from collections.abc import Container
from ipaddress import ip_address
from urllib.parse import urlsplit

SETTING = "REFERRALS_ALLOW_PLAINTEXT"

# Schemes without TLS, with the ones to use in their place.
_PLAIN = {"amqp": "amqps", "http": "https", "redis": "rediss"}

# It begins with a letter: a single decimal or hexadecimal number (0x…) as a host is an IPv4 address.
_ONE_LABEL = re.compile(r"[a-z](?:[a-z0-9_-]*[a-z0-9])?")
_IN_CLUSTER = re.compile(r"[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?\.svc(?:\.cluster\.local)?")


def is_inside(host: str) -> bool:
    """Whether packets to this host stay on this machine or in its cluster.

    That is so for loopback, for a name of one label, as Compose and Kubernetes give to services, and for ``*.svc`` and
    ``*.svc.cluster.local``. A private address, or a name such as ``*.internal`` or ``*.local``, may be anywhere in a
    company, so it counts as outside.
    """
    return is_this_machine(host) or bool(_ONE_LABEL.fullmatch(host) or _IN_CLUSTER.fullmatch(host))


def is_this_machine(host: str) -> bool:
    """Whether the host is loopback: a loopback address, ``localhost`` or a name below that."""
    try:
        address = ip_address(host)
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
    # ::ffff:127.0.0.1 is loopback too.
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)


def exposed_host(url: str) -> str | None:
    """The host that the URL reaches without TLS over a network that others may read; None for any other URL."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    return host if parts.scheme in _PLAIN and not is_inside(host) else None


def refuse(url: str, allowed: Container[str]) -> None:
    """Accept a URL with TLS, one that stays inside (:func:`is_inside`), and one to a host in ``allowed``.

    Raises:
      ValueError: it is none of these; the text names the host and the remedy.
    """
    host = exposed_host(url)
    if host is not None and host not in allowed:
        plain = urlsplit(url).scheme
        raise ValueError(
            f"{plain}:// to {host} sends keys and customers' data unencrypted over a network; use {_PLAIN[plain]}://, "
            f"or name the host in {SETTING}"
        )
