"""Parts of an AMQP URL that pika would ignore or misread: they are refused, with how to write them.

A URL that is half understood connects to another virtual host, or as another user, without a word.
"""

import re
from urllib.parse import parse_qsl, urlsplit

from worker.errors import ConfigurationError

_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")


def refuse_ignored_parts(url: str) -> None:
    """Accept a URL if pika uses all of it.

    Raises:
      ConfigurationError: pika would ignore or misread a part. The line quotes nothing that may be a secret.
    """
    parts = urlsplit(url)
    vhost = parts.path.removeprefix("/")
    if "#" in url:
        raise _unusable("what follows a # is dropped; write %23 for it in a vhost, a user or a password")
    if "/" in vhost:
        raise _unusable(
            "a vhost is all that follows the host; write %2F for each / in its name, such as /%2F or /a%2Fb"
        )
    if ";" in vhost:
        raise _unusable("what follows a ; in the vhost is dropped; write %3B for it")
    if _ESCAPE.search(vhost):
        raise _unusable("the vhost has a % that is no escape; write %25 for it")
    if "," in (parts.hostname or ""):
        raise _unusable("several nodes are several URLs separated by commas, each with amqp://, user and password")
    if any(map(str.isspace, url.rstrip("\r\n"))):
        raise _unusable("there is a space in it; write %20 for it, or take it out")
    if parts.username is not None and parts.password is None:
        raise _unusable("a user without a password; write user:password@, both percent-encoded")
    _refuse_odd_options(parts.query)


def _refuse_odd_options(query: str) -> None:
    seen = set()
    for name, value in parse_qsl(query, keep_blank_values=True):
        # Unknown options were refused before, so a name can be quoted.
        if name in seen:
            raise _unusable(f"{name} is given twice; keep one of them")
        if not value:
            raise _unusable(f"{name} has no value; give it one, or leave it out")
        seen.add(name)


def _unusable(problem: str) -> ConfigurationError:
    return ConfigurationError(f"REFERRALS_AMQP_URL: {problem}")
