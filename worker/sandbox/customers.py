"""Which customer a call is for: the rules of customer identity."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from worker.sandbox.config import SandboxConfig
from worker.sandbox.customer_file import CustomerFile
from worker.sandbox.responses import RefusedError
from worker.sandbox.tokens import Token

_KINDS = ("bhid", "shopid", "email")


@dataclass(frozen=True, slots=True)
class Identity:
    """A customer. Limits and reuse go by ``key``; ``ids`` are all ids that were given, in lower case.

    ``named`` are the ids by kind as they were given, without the spaces around them.
    """

    key: str = field(repr=False)
    ids: tuple[str, ...] = field(repr=False)
    named: Mapping[str, str] = field(repr=False)


def identify(given: Any, token: Token) -> Identity:
    """The customer that a request's ``customer`` and its token name.

    Its limits go by what the call says. So a customer who is named by different ids in different calls counts as
    several. For the same reason a customer token is only compared with `shopid`, its subject, and, if it has the claim
    `ce`, with `email`.

    Raises:
      RefusedError: nobody is named, the object can't be read, or the token is another customer's.
    """
    if given is not None and not isinstance(given, dict):
        raise RefusedError(400, "invalid_request", "customer is not an object")
    named = _named(given or {})
    ids = {kind: value.lower() for kind, value in named.items()}
    if token.customer is not None:
        return _of_token(named, ids, token)
    if given is None:
        raise RefusedError(400, "missing_customer_identity", "a call with a shop token needs a customer")
    if not ids:
        raise RefusedError(404, "empty_customer_identity", "customer names neither bhid, shopid nor email")
    # The kinds are in the order of their strength, so that a call with more ids still has the same key.
    kind, strongest = next(iter(ids.items()))
    return Identity(key=f"{kind}:{strongest}", ids=tuple(ids.values()), named=named)


def _named(given: dict[str, Any]) -> dict[str, str]:
    named = {}
    for kind in _KINDS:
        value = given.get(kind)
        if value is not None and not isinstance(value, str):
            raise RefusedError(400, "invalid_request", f"customer.{kind} is not a string")
        if value and value.strip():
            named[kind] = value.strip()
    return named


def _of_token(named: dict[str, str], ids: dict[str, str], token: Token) -> Identity:
    # An absent id matches: a customer token names the customer by itself.
    by_token = {"shopid": token.customer or "", "email": token.email or ""}
    customer, email = by_token["shopid"].lower(), token.email
    other_id = ids.get("shopid", customer) != customer
    other_email = email is not None and ids.get("email", email.lower()) != email.lower()
    if other_id or other_email:
        raise RefusedError(403, "customer_identity_does_not_match_token", "the token is another customer's")
    named = {kind: value for kind, value in by_token.items() if value} | named
    return Identity(key=f"shopid:{customer}", ids=(customer, *ids.values()), named=named)


class Directory:
    """Knows who is a customer: those of the file, or everybody without one; never the listed strangers."""

    def __init__(self, config: SandboxConfig) -> None:
        """
        Raises:
          InputError: the file can't be read, or holds no customers.
        """
        self.file = CustomerFile(config.customers) if config.customers is not None else None
        self._strangers = {stranger.strip().lower() for stranger in config.strangers}
        self._mismatches = {frozenset((one.strip().lower(), other.strip().lower())) for one, other in config.mismatches}

    def close(self) -> None:
        """Close the file."""
        if self.file is not None:
            self.file.close()

    def check(self, identity: Identity) -> None:
        """Look the ids up.

        Raises:
          RefusedError: 404, none of them is a customer's, or they don't all belong to one customer.
        """
        strange = [one in self._strangers for one in identity.ids]
        found = self.file.find(identity.named) if self.file is not None else "all"
        if all(strange) or found == "none":
            raise RefusedError(404, "no_customers_match_customer_identity", "no customer has this identity")
        # A stranger's id beside a customer's is a mismatch, as with Refer2, and not an unknown customer.
        apart = any(pair <= set(identity.ids) for pair in self._mismatches)
        if apart or any(strange) or found == "some":
            raise RefusedError(
                404,
                "customer_identity_partially_mismatches_matched_customer",
                "the ids given are not all the same customer's",
            )
