"""A few rows that are left out, for a person who looks them up in the export. Pure."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import NamedTuple

from worker.campaigns.exports.base import Values
from worker.campaigns.identifiers import bare
from worker.campaigns.importer import Reject
from worker.text.line_names import line_name
from worker.text.masking import hint

EXAMPLES = 3
"""Rows that are shown for each reason: enough to recognise what they have in common."""

_IDS = ("customer_shopid", "customer_bhid")
_CUSTOMER = ("customer_email", *_IDS)

_FIELDS: Mapping[str, tuple[str, ...]] = {
    "bad_id": _IDS,
    "shortened_id": _IDS,
    "bad_destination": ("destination",),
    "bad_channel": ("channel",),
    "no_shop": ("shop",),
}
"""What is shown of a row by its reason. For the other reasons it is the customer."""

_NOBODYS = 24
"""Characters of an id that a spreadsheet shortened: such a text identifies nobody, and is shown as it is."""


class Place(NamedTuple):
    """Where a row is: its export's name, its line in the file, and the row by which a spreadsheet shows it."""

    file: str
    line: int
    row: int


class Examples:
    """The first :data:`EXAMPLES` rows of each reason, each as one text: its line, and something of it, masked.

    The row by which a spreadsheet shows it is beside the line, if that is another number.

    Where there are several exports, the first line of each has its export's name before it: without folders and
    archives, unless two exports would then have one name.
    """

    def __init__(self, exports: Sequence[str]) -> None:
        """``exports``: the names of all exports."""
        times = Counter(map(_own_name, exports))
        self._names = {name: own if times[own := _own_name(name)] == 1 else name for name in exports}
        self._found: dict[str, list[str]] = {}
        self._latest: dict[str, str] = {}
        self._places: dict[str, list[Place]] = {}

    def add(self, reject: Reject) -> None:
        """A row that became no job."""
        found = self._found.setdefault(reject.reason, [])
        if len(found) < EXAMPLES:
            self._places.setdefault(reject.reason, []).append(Place(reject.export, reject.line, reject.row))
            where = line_name(reject.line, reject.row)
            if len(self._names) > 1 and self._latest.get(reject.reason) != reject.export:
                where = f"{self._names[reject.export]} {where}"
                self._latest[reject.reason] = reject.export
            shown = _shown(reject.reason, reject.values) if reject.values is not None else ""
            found.append(f"{where} ({shown})" if shown else where)

    def of(self, reason: str) -> list[str]:
        """The rows of a reason, in the order of the exports."""
        return self._found.get(reason, [])

    def places(self, reason: str) -> list[Place]:
        """Where these rows are."""
        return self._places.get(reason, [])


def _own_name(export: str) -> str:
    return PurePath(export).name


def _shown(reason: str, values: Values) -> str:
    for field in _FIELDS.get(reason, _CUSTOMER):
        text: str = getattr(values, field)
        if field in _IDS:
            text = bare(text)
        if text:
            return text[:_NOBODYS] if reason == "shortened_id" else hint(text)
    return ""
