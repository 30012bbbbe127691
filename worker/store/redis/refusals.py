"""What is wrong with the server, by its own words or by how the connection failed."""

import re
import ssl
from dataclasses import dataclass, replace

import redis
from redis.exceptions import AuthenticationError, AuthenticationWrongNumberOfArgsError, InvalidResponse

TIMEOUT_SECONDS = 0.5
"""A server that takes longer counts as out of reach: no call may start, and the gate closes until it answers again."""

LONGEST_QUOTE = 160
"""Characters of the server's own words that are quoted: the reason is among the first."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why the server could not serve. ``reason`` is one of few words; ``text`` follows the server's address in a line.

    ``moves``: another server may be behind the same name by now, so connections are closed. ``vain``: asking again
    changes nothing until a person changes something.
    """

    reason: str
    text: str
    moves: bool = False
    vain: bool = False


_CLUSTER = Refusal("cluster", "is one node of a cluster; name a single server or a proxy", moves=True, vain=True)
_CREDENTIALS = Refusal("credentials", "refuses the user or the password", vain=True)
_NO_PASSWORD = Refusal("credentials", "has no password for its default user; leave it out of the URL", vain=True)
_PERMISSIONS = Refusal("permissions", "gives this user too few permissions; docs/store.md has the ACL", vain=True)

_BY_CODE = {
    "READONLY": Refusal("read_only", "is a read-only replica; name the primary", moves=True),
    "LOADING": Refusal("loading", "is still loading its data", moves=True),
    "MASTERDOWN": Refusal(
        "primary_away", "is a replica that has lost its primary; name the primary, or promote a replica", moves=True
    ),
    "MISCONF": Refusal(
        "not_saving",
        "takes no writes while it can't save its data; check its disk, its folder and its log",
        moves=True,
    ),
    "NOREPLICAS": Refusal(
        "no_replicas", "takes no writes without its replicas; start them, or lower min-replicas-to-write", moves=True
    ),
    "CLUSTERDOWN": Refusal(
        "cluster", "is a node of a cluster that is down; name a single server or a proxy", moves=True
    ),
    "MOVED": _CLUSTER,
    "ASK": _CLUSTER,
    "TRYAGAIN": _CLUSTER,
    "CROSSSLOT": _CLUSTER,
    "OOM": Refusal("no_memory", "has no memory left; raise maxmemory"),
    "DAMAGED": Refusal("damaged", "has orders that can't be read; docs/runbook.md#orders-that-cant-be-read", vain=True),
    "BUSY": Refusal("busy", "is busy with another client's script; end it with SCRIPT KILL"),
    "NOPERM": _PERMISSIONS,
    "NOSCRIPT": Refusal(
        "permissions", "forgets the scripts that were loaded; may this user load them? docs/store.md has the ACL"
    ),
    "WRONGPASS": _CREDENTIALS,
    "NOAUTH": Refusal("credentials", "requires a user and a password; put them into the URL", vain=True),
}
"""By the first word of the server's error."""

_BY_PHRASE = {
    "DB index is out of range": Refusal(
        "database", "has no database of this number; REFERRALS_REDIS_URL ends with it, and 0 is always there", vain=True
    ),
    "max number of clients": Refusal("full", "takes no more connections; raise maxclients", moves=True),
    "unknown command": Refusal(
        "unknown_command", "lacks a command that is needed; it must be Redis 6.2 or later, or Valkey", vain=True
    ),
    # Valkey and Redis 7 word it the first way, Redis 6.2 the second: as an error of the script.
    "ACL failure in script": _PERMISSIONS,
    "The user executing the script can't": _PERMISSIONS,
}
"""By a phrase, of errors that begin with no such word."""

_SILENT = Refusal("silent", f"does not answer within {TIMEOUT_SECONDS:g} s", moves=True)
_FOREIGN = Refusal("no_redis", "gives an answer that no Redis gives; is this its port?", moves=True)
_TLS = Refusal("tls", "fails at TLS; is this its port for TLS?", moves=True)

UNSPOKEN = frozenset({"silent", "no_redis", "tls", "unreachable"})
"""Reasons where the server has said nothing that we understand."""

# Redis 6.2 wraps an error within a script into an error of its own, which quotes it.
_IN_A_SCRIPT = re.compile(rf"^Error running script.* -({'|'.join(_BY_CODE)}) ")

_ARGUMENTS = re.compile(r"\W*\b(?:script: |with args beginning with).*", re.DOTALL)
"""What follows the reason: the place in a script, or the arguments of the command, maybe a password."""


def refusal(error: Exception) -> Refusal:
    """What an error of the client library means.

    The server's own words are quoted where they can contain nothing of ours: no argument, no password, no result.
    """
    if isinstance(error, AuthenticationError | AuthenticationWrongNumberOfArgsError):
        if any(sign in str(error) for sign in ("called without any password", "no password is set")):
            return _NO_PASSWORD
        return _BY_CODE.get(str(getattr(error, "status_code", "")), _CREDENTIALS)
    if isinstance(error, redis.TimeoutError):
        return _SILENT
    if isinstance(error, InvalidResponse):
        return _FOREIGN
    words = str(error)
    if inner := _IN_A_SCRIPT.search(words):
        return _BY_CODE[inner[1]]
    code = getattr(error, "status_code", None) or words.partition(" ")[0]
    known = _BY_CODE.get(code) or next((found for phrase, found in _BY_PHRASE.items() if phrase in words), None)
    if known is not None:
        return replace(known, text=f"{known.text} ({_quoted(code, words)})")
    if isinstance(error, redis.ConnectionError):
        return _unreachable(error)
    # The text of an error in a script can quote arguments, a result among them.
    return Refusal("refused", f"can't serve us ({type(error).__name__})")


def _quoted(code: str, words: str) -> str:
    words = _ARGUMENTS.sub("", words).rstrip(".")
    if not words.startswith(code):
        words = f"{code} {words}"
    return f"it says: {words[:LONGEST_QUOTE]}{'…' if len(words) > LONGEST_QUOTE else ''}"


def _unreachable(error: Exception) -> Refusal:
    cause = error.__cause__ or error.__context__
    said = (cause.strerror if isinstance(cause, OSError) else None) or type(cause or error).__name__
    if isinstance(cause, ssl.SSLError) and not isinstance(cause, ssl.SSLCertVerificationError):
        return replace(_TLS, text=f"{_TLS.text} ({said})")
    text = f"is out of reach ({said}); is it running, is REFERRALS_REDIS_URL right?"
    return Refusal("unreachable", text, moves=True)
