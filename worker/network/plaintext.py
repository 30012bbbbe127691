"""Where a connection without TLS may lead: to this machine, within a cluster, or to a host that the operator names."""

import re
from collections.abc import Container
from ipaddress import ip_address
from urllib.parse import urlsplit

SETTING = "REFERRALS_ALLOW_PLAINTEXT"

_PLAIN = {"amqp": "amqps", "http": "https", "redis": "rediss"}

# A host of a decimal number, or of 0x and digits, is an address.
_ONE_LABEL = re.compile(r"[a-z](?:[a-z0-9_-]*[a-z0-9])?")
_IN_CLUSTER = re.compile(r"[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?\.svc(?:\.cluster\.local)?")


def is_inside(host: str) -> bool:
    """Whether packets to this host stay on this machine or in its cluster: loopback, a name of one label as compose and
    Kubernetes give to services, ``*.svc``, ``*.svc.cluster.local``.

    A private address or a name such as ``*.internal`` and ``*.local`` may be anywhere in a company, and is not.
    """
    return is_this_machine(host) or bool(_ONE_LABEL.fullmatch(host) or _IN_CLUSTER.fullmatch(host))


def is_this_machine(host: str) -> bool:
    """Whether the host is loopback: an address of it, ``localhost`` or a name below that."""
    try:
        address = ip_address(host)
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)


def exposed_host(url: str) -> str | None:
    """The host that the URL reaches without TLS over a network that others may read; None where it doesn't."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    return host if parts.scheme in _PLAIN and not is_inside(host) else None


def refuse(url: str, allowed: Container[str]) -> None:
    """Accept a URL with TLS, one to the inside, and one to a host that is allowed.

    Raises:
      ValueError: it is none of these; names the host and the remedy.
    """
    host = exposed_host(url)
    if host is not None and host not in allowed:
        plain = urlsplit(url).scheme
        raise ValueError(
            f"{plain}:// to {host} sends keys and customers' data unencrypted over a network; use {_PLAIN[plain]}://, "
            f"or name the host in {SETTING}"
        )
