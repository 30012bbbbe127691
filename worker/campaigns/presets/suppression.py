"""The addresses of suppression lists, which no other export of a command may write to."""

import re
import secrets
from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from hashlib import blake2b

from worker.campaigns.exports.base import Export
from worker.campaigns.identifiers import is_spreadsheet_error
from worker.campaigns.reject_reasons import RejectReason
from worker.errors import InputError, UsageError
from worker.model.addresses import normalized_email

MOST = 20_000_000
"""Addresses of all lists together. They take 160 MB."""

_ADDRESS = re.compile(r"(?:mailto:)?([^\s<>(),;:\"]+@[^\s<>(),;:\"]+)", re.IGNORECASE)
"""An address within another text."""

LONGEST_CELL = 1_000
"""Characters of a cell in which addresses are looked for."""

_RUN = 500_000
"""Addresses that are sorted together; sorting takes 40 bytes of each for a moment."""


class Suppressed:
    """The addresses of suppression lists as keyed hashes of 8 bytes, each with the reason of its rows.

    Two addresses share a hash once in 18,000,000 exports of 1,000,000 rows beside a list of 1,000,000. The key is of
    this process alone. Measured with 1,000,000 addresses: 3 s and 38 MiB to add them, 5 µs for a question. For one
    thread.
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
        if not self._runs:
            return None
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


def read_lists(exports: Sequence[Export]) -> tuple[Suppressed, Counter[int]]:
    """The people whom some of the exports say not to write to, and the rows of the suppression lists by their index.

    Besides these lists, the files of members who unsubscribed or were cleaned say so. They count for the other exports
    too: a person who said no to one list of a shop is in the file of another by mistake. Reads these exports whole.

    Raises:
      InputError: one can't be read, or a row of a suppression list can't be: somebody would be written to.
      UsageError: they have too many addresses.
    """
    suppressed, rows = Suppressed(), Counter[int]()
    for index, export in enumerate(exports):
        if (reason := _reason_of_all(export)) is not None:
            number = _read(export, reason, suppressed)
            if export.recognised.suppresses:
                rows[index] = number
    suppressed.seal()
    return suppressed, rows


def _reason_of_all(export: Export) -> RejectReason | None:
    """The reason of the people whom an export says not to write to, if it says so of all of them; None otherwise."""
    told = export.recognised
    if told.suppresses:
        return "unsubscribed"
    return told.every_row if told.every_row in ("unsubscribed", "suppressed") else None


def _read(export: Export, reason: RejectReason, suppressed: Suppressed) -> int:
    told, rows = export.recognised, 0
    for line, values, _, flaw, _ in export.records():
        rows += 1
        if values is not None and told.suppresses and is_spreadsheet_error(values.customer_email):
            values, flaw = None, "spreadsheet_error"
        if values is not None and values.customer_email:
            said = told.veto(values.consent, "") or reason
            for address in addresses_in(values.customer_email):
                suppressed.add(address, said)
        elif values is None and told.suppresses and flaw != "repeated_header":
            raise InputError(
                f"{export.file.name}: line {line} can't be read ({flaw}), and the person in it would be written to; "
                "correct this line, or export the list again"
            )
    return rows


def addresses_in(cell: str) -> Sequence[str]:
    """The address in a cell, or those within a text such as ``mailto:ann@example.com`` or ``Ann <ann@example.com>``."""
    if normalized_email(cell) is not None:
        return [cell]
    # Such a text is no customer's address, so without this it would keep nobody out.
    return _ADDRESS.findall(cell[:LONGEST_CELL]) or [cell]
