"""The addresses of suppression lists, which no other export of a command may write to."""

import secrets
from array import array
from bisect import bisect_left
from hashlib import blake2b

from worker.campaigns.exports.base import Export
from worker.campaigns.reject_reasons import RejectReason
from worker.errors import InputError, UsageError
from worker.model.addresses import normalized_email

MOST = 20_000_000
"""Addresses of all lists together. They take 160 MB."""

_RUN = 500_000
"""Addresses that are sorted together; sorting takes 40 bytes of each for a moment."""


class Suppressed:
    """The addresses of suppression lists as keyed hashes of 8 bytes, each with the reason of its rows.

    Two addresses share a hash once in 18,000,000 exports of 1,000,000 rows beside a list of 1,000,000. The key is of
    this process alone. For one thread.
    """

    def __init__(self) -> None:
        self._key = secrets.token_bytes(16)
        self._fresh: dict[RejectReason, list[int]] = {"suppressed": [], "unsubscribed": []}
        self._runs: list[tuple[RejectReason, array[int]]] = []
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, address: str, reason: RejectReason) -> None:
        """Add an address.

        Raises:
          UsageError: there are more than :data:`MOST`.
        """
        if self._count >= MOST:
            raise UsageError(f"the suppression lists have more than {MOST:,} addresses; give fewer of them")
        fresh = self._fresh[reason]
        fresh.append(self._hash(address))
        self._count += 1
        if len(fresh) >= _RUN:
            self._seal(reason)

    def seal(self) -> None:
        """To be called after the last address and before the first question."""
        for reason in self._fresh:
            self._seal(reason)

    def reason(self, *addresses: str) -> RejectReason | None:
        """Why nobody may write to one of these addresses; None if none of them is on a list. Blank ones are not."""
        for address in addresses:
            if address:
                wanted = self._hash(address)
                for reason, run in self._runs:
                    at = bisect_left(run, wanted)
                    if at < len(run) and run[at] == wanted:
                        return reason
        return None

    def _seal(self, reason: RejectReason) -> None:
        if self._fresh[reason]:
            self._runs.append((reason, array("Q", sorted(self._fresh[reason]))))
            self._fresh[reason] = []
            # Whatever else is known of an address, that it can't be reached is told first.
            self._runs.sort(key=lambda run: run[0] != "suppressed")

    def _hash(self, address: str) -> int:
        # As job ids compare addresses: in their normal spelling, without case.
        spelled = (normalized_email(address) or address).casefold()
        digest = blake2b(spelled.encode(errors="surrogatepass"), digest_size=8, key=self._key).digest()
        return int.from_bytes(digest, "little")


def listed_reason(export: Export) -> RejectReason | None:
    """The reason of the people whom an export says not to write to, if it says so of all of them; None otherwise.

    Besides suppression lists these are the files of members who unsubscribed or were cleaned. Given beside others, they
    count for these too: a person who said no to one list of a shop is in the file of another by mistake.
    """
    told = export.recognised
    if told.suppresses:
        return "unsubscribed"
    return told.every_row if told.every_row in ("unsubscribed", "suppressed") else None


def read_list(export: Export, suppressed: Suppressed) -> int:
    """Add the addresses of such an export; returns its rows. Reads it whole.

    Raises:
      InputError: it can't be read, or a row of a suppression list can't be: somebody would be written to.
      UsageError: the lists have too many addresses.
    """
    told, reason = export.recognised, listed_reason(export)
    rows = 0
    for line, values, _, flaw in export.records():
        rows += 1
        if values is not None and values.customer_email and reason is not None:
            suppressed.add(values.customer_email, told.veto(values.consent, "") or reason)
        elif values is None and told.suppresses and flaw != "repeated_header":
            raise InputError(
                f"{export.file.name}: line {line} can't be read ({flaw}), and the person in it would be written to; "
                "correct this line, or export the list again"
            )
    return rows
