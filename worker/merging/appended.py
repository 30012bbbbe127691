"""The columns that a merged export has beyond its own. Pure."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from worker.campaigns.csv_escaping import escape_cell
from worker.errors import UsageError
from worker.merging.merged_rows import MergedRow
from worker.merging.share_actions import Scalar
from worker.text.visible import is_plain

COLUMNS: Final = (
    "referral_link",
    "referral_status",
    "referral_outcome",
    "referral_error_code",
    "referral_message",
    "referral_sent_at",
)
"""The columns that every merged export has; those of share actions follow."""

_URL = re.compile(r"https?://[^\s\"<>\\]+")


def values(row: MergedRow) -> Sequence[Scalar]:
    """The row's values for :data:`COLUMNS`, then those of its share action; None where there is none."""
    came = row.returned
    if came is None:
        return (None, None, row.outcome, row.code, None, None)
    return (came.link, came.status, row.outcome, row.code, came.message, came.sent_at, *came.shared)


def cells(row: MergedRow, width: int) -> list[str]:
    """The row's values as so many cells, which no spreadsheet computes.

    They are escaped as in results files: line ends as ``\\n``, and an apostrophe before what would be a formula. Links
    stay as they are, wherever they stand: an apostrophe in one would lead nowhere.
    """
    found = ["" if value is None else _cell(value) for value in values(row)]
    return found + [""] * (width - len(found))


def objects(row: MergedRow, names: Sequence[str]) -> Mapping[str, Scalar]:
    """The row's values by the columns' names, as they came."""
    found = values(row)
    return dict(zip(names, [*found, *[None] * (len(names) - len(found))], strict=True))


def check_columns(export: str, columns: Iterable[str], names: Iterable[str]) -> None:
    """Check that an export has none of the columns ``names``.

    Raises:
      UsageError: it has one: it was merged before, and importers take a column once.
    """
    there = {column.strip().casefold() for column in columns}
    for name in names:
        if name.casefold() in there:
            raise UsageError(
                f"{export}: has a column {name} already, as a merged export does; give the original export, or take "
                "that column out"
            )


def _cell(value: str | float) -> str:
    if isinstance(value, str):
        # Most cells are outcomes and links, which the expression settles faster than the escapes would.
        if value.isalnum() or (_URL.fullmatch(value) and is_plain(value)):
            return value
        return escape_cell(value)
    return str(value).lower() if isinstance(value, bool) else repr(value)
