"""Checks of the URLs, addresses and hosts that an operator gives. Pure; the errors never quote the value."""

import re
from ipaddress import ip_address
from urllib.parse import urlsplit

_HOST = re.compile(r"[a-z0-9_:](?:[a-z0-9_.:%-]{0,253}[a-z0-9_])?")


def http_endpoint(value: str) -> str:
    """The URL of an HTTP endpoint that is asked without a password; raises ValueError if it can't be one."""
    try:
        parts = urlsplit(value)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        # The parser's own error would quote the host.
        usable = False
    # This URL is shown in errors and in `status`, so it must not hold a password or a key.
    if not usable or re.search(r"[@?#\s]", value):
        raise ValueError("is not a URL like http://host:15692, without user, password and query")
    return value


def ip_text(value: str) -> str:
    """The IP address in its normal spelling; raises ValueError if it is none."""
    try:
        return str(ip_address(value))
    except ValueError:
        raise ValueError("is not an IP address such as 127.0.0.1, or :: for all of this machine's") from None


def host_list(value: str) -> str:
    """The hosts in lower case, without blanks and brackets, separated by commas; raises ValueError otherwise."""
    hosts = [host.strip().strip("[]").lower() for host in value.split(",")]
    if not all(_HOST.fullmatch(host) for host in hosts if host):
        raise ValueError("is not a list of hosts separated by commas, such as rabbit.example.com,10.0.0.7")
    return ",".join(host for host in hosts if host)
