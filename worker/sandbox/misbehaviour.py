"""Faults on demand: whose calls go wrong, how, and how often."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

from worker.errors import UsageError

Kind = Literal["error", "page", "timeout", "reset", "truncated", "not_json", "no_referral"]


@dataclass(frozen=True, slots=True)
class Behaviour:
    """One way to answer badly.

    ``error`` is a JSON error with ``status`` and ``code``; ``page`` is an HTML page, as proxies and firewalls send. The
    other kinds lose the answer: ``timeout`` never answers, ``reset`` cuts the connection, ``truncated`` cuts the body,
    ``not_json`` and ``no_referral`` answer 200 without a referral. ``performed`` says whether such a call made the
    referral; the caller can't know. ``times`` is for how many calls of a customer this happens (None: all);
    ``retry_after`` is in whole seconds.
    """

    kind: Kind
    status: int = 500
    code: str = "sandbox_error"
    retry_after: int | None = None
    times: int | None = None
    performed: bool = True

    @classmethod
    def parse(cls, name: str) -> "Behaviour":
        """The behaviour with a name from :data:`HELP`, such as ``timeout`` or ``fail503x2``.

        Raises:
          UsageError: there is no behaviour of this name.
        """
        behaviour = _named(name.strip().lower())
        if behaviour is None:
            raise UsageError(f"sandbox: there is no behaviour {name[:32]!r}; known ones are {', '.join(_NAMES)}")
        return behaviour


def _error(status: int, code: str) -> Behaviour:
    return Behaviour("error", status, code)


_FIXED: Mapping[str, tuple[Behaviour, str]] = {
    "stranger": (
        _error(404, "no_customers_match_customer_identity"),
        "404, no customer has this identity",
    ),
    "mismatch": (
        _error(404, "customer_identity_partially_mismatches_matched_customer"),
        "404, the ids given belong to different customers",
    ),
    "othertoken": (
        _error(403, "customer_identity_does_not_match_token"),
        "403, the token is another customer's",
    ),
    "badtoken": (_error(401, "invalid_token"), "401, the token is not accepted"),
    "obsolete": (_error(400, "obsolete_global_api_version"), "400, the API version is no longer served"),
    "inaccessible": (_error(400, "inaccessible_global_api_version"), "400, the API version is not open to it"),
    "invalid": (_error(400, "invalid_global_api_version"), "400, there is no such API version"),
    "throttled": (
        replace(_error(429, "rate_limit_exceeded"), retry_after=1),
        "429 with Retry-After: 1, without the scope in its message",
    ),
    "rule": (_error(422, "sandbox_shop_rule"), "422 with a code that is not documented, as shops' own rules give"),
    "timeout": (Behaviour("timeout"), "makes the referral, never answers"),
    "reset": (Behaviour("reset"), "makes the referral, resets the connection"),
    "truncated": (Behaviour("truncated"), "makes the referral, cuts the body short"),
    "notjson": (Behaviour("not_json"), "makes the referral, answers 200 with a body that is not JSON"),
    "noreferral": (Behaviour("no_referral"), "makes the referral, answers 200 without it"),
}
_BY_STATUS: Mapping[str, tuple[Kind, str]] = {
    "fail": ("error", "status NNN with the JSON error id sandbox_NNN"),
    "html": ("page", "status NNN with an HTML page, as a proxy or a firewall sends"),
}
_NAMES = (*_FIXED, *(f"{name}NNN" for name in _BY_STATUS))

HELP = "\n".join(
    [
        "A customer misbehaves when its address or id starts with one of these and a plus sign, as in",
        "timeout+jane@example.com; with a count it does so for its first calls only, as in fail503x2+jane@example.com:",
        *(f"  {name + '+':<14}{text}" for name, (_, text) in _FIXED.items()),
        *(f"  {name + 'NNN+':<14}{text}" for name, (_, text) in _BY_STATUS.items()),
    ]
)
"""The names for people, one per line, for ``referrals sandbox --help``."""

_NAME = re.compile(r"(?P<name>[a-z]+?)(?P<status>[3-5]\d\d)?(?:x(?P<times>\d{1,6}))?")


# Each call's address is looked up, and a campaign has few names among many addresses.
@lru_cache(maxsize=1024)
def _named(name: str) -> Behaviour | None:
    """The behaviour of a name such as ``fail503x2``; None if there is none."""
    parts = _NAME.fullmatch(name)
    if parts is None:
        return None
    status, times = parts["status"], int(parts["times"]) if parts["times"] else None
    if status is None:
        behaviour, _ = _FIXED.get(parts["name"], (None, ""))
        return replace(behaviour, times=times) if behaviour else None
    kind, _ = _BY_STATUS.get(parts["name"], (None, ""))
    return Behaviour(kind, int(status), f"sandbox_{status}", times=times) if kind else None


class Misbehaviour:
    """Decides for each call whether it goes wrong, and counts the calls that did. For one thread."""

    def __init__(self, configured: Mapping[str, Behaviour]) -> None:
        self._configured = {who.strip().lower(): behaviour for who, behaviour in configured.items()}
        self._shown: Counter[tuple[str, str]] = Counter()

    def next(self, shop: str, ids: Iterable[str]) -> Behaviour | None:
        """The behaviour for a call of the customer with these lower-case ids; None for a good answer."""
        # The first id with a behaviour decides. For one id, a configured behaviour goes before the convention.
        for who in ids:
            behaviour = self._configured.get(who)
            if behaviour is None and "+" in who:
                behaviour = _named(who.partition("+")[0])
            if behaviour is not None:
                return behaviour if self._take(shop, who, behaviour) else None
        return None

    def _take(self, shop: str, who: str, behaviour: Behaviour) -> bool:
        """Count the call, and tell whether the behaviour still applies to it."""
        if behaviour.times is None:
            return True
        # Counted by shop and id, so that one address misbehaves as often in each shop of a test.
        self._shown[shop, who] += 1
        return self._shown[shop, who] <= behaviour.times
