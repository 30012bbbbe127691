"""Which customer a call is for: the rules of customer identity. Pure."""

from dataclasses import dataclass, field
from typing import Any

from worker.sandbox.config import SandboxConfig
from worker.sandbox.responses import RefusedError
from worker.sandbox.tokens import Token

_KINDS = ("bhid", "shopid", "email")


@dataclass(frozen=True, slots=True)
class Identity:
    """A customer. Limits and reuse go by ``key``; ``ids`` are all ids that were given, in lower case."""

    key: str = field(repr=False)
    ids: tuple[str, ...] = field(repr=False)


def identify(given: Any, token: Token) -> Identity:
    """The customer that a request's ``customer`` and its token name.

    The sandbox has no customer data. So a customer who is named by different ids in different calls counts as several.
    For the same reason a customer token is only compared with `shopid`, its subject, and, if it has the claim `ce`,
    with `email`.

    Raises:
      RefusedError: nobody is named, the object can't be read, or the token is another customer's.
    """
    if given is not None and not isinstance(given, dict):
        raise RefusedError(400, "invalid_request", "customer is not an object")
    ids = _ids(given or {})
    if token.customer is not None:
        return _of_token(ids, token.customer.lower(), token.email)
    if given is None:
        raise RefusedError(400, "missing_customer_identity", "a call with a shop token needs a customer")
    if not ids:
        raise RefusedError(404, "empty_customer_identity", "customer names neither bhid, shopid nor email")
    # The kinds are in the order of their strength, so that a call with more ids still has the same key.
    kind, strongest = next(iter(ids.items()))
    return Identity(key=f"{kind}:{strongest}", ids=tuple(ids.values()))


def _ids(given: dict[str, Any]) -> dict[str, str]:
    ids = {}
    for kind in _KINDS:
        value = given.get(kind)
        if value is not None and not isinstance(value, str):
            raise RefusedError(400, "invalid_request", f"customer.{kind} is not a string")
        if value and value.strip():
            ids[kind] = value.strip().lower()
    return ids


def _of_token(ids: dict[str, str], customer: str, email: str | None) -> Identity:
    # An absent id matches: a customer token names the customer by itself.
    other_id = ids.get("shopid", customer) != customer
    other_email = email is not None and ids.get("email", email.lower()) != email.lower()
    if other_id or other_email:
        raise RefusedError(403, "customer_identity_does_not_match_token", "the token is another customer's")
    return Identity(key=f"shopid:{customer}", ids=(customer, *ids.values()))


class Directory:
    """Knows who is a customer: everybody except the listed strangers."""

    def __init__(self, config: SandboxConfig) -> None:
        self._strangers = {stranger.strip().lower() for stranger in config.strangers}
        self._mismatches = {frozenset((one.strip().lower(), other.strip().lower())) for one, other in config.mismatches}

    def check(self, identity: Identity) -> None:
        """Look the ids up.

        Raises:
          RefusedError: 404, none of them is a customer's, or they don't all belong to one customer.
        """
        strange = [one in self._strangers for one in identity.ids]
        if all(strange):
            raise RefusedError(404, "no_customers_match_customer_identity", "no customer has this identity")
        # A stranger's id beside a customer's is a mismatch, as with Refer2, and not an unknown customer.
        apart = any(pair <= set(identity.ids) for pair in self._mismatches)
        if apart or any(strange):
            raise RefusedError(
                404,
                "customer_identity_partially_mismatches_matched_customer",
                "the ids given are not all the same customer's",
            )
