"""Which column of an export means what: headers matched to the canonical names and to what the command names."""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from worker.campaigns.exports.base import FIELDS
from worker.errors import UsageError

CONSENT = "consent"
_CUSTOMER_FIELDS = ("customer_email", "customer_shopid", "customer_bhid")
_COLUMNS_SHOWN = 40
_NAME_SHOWN = 60
_LOOKS_LIKE_DATA = re.compile(r"@|\d{7}")


def normalized(name: str) -> str:
    """A header without case, punctuation and spaces: ``Customer E-mail`` is ``customeremail``."""
    return "".join(c for c in unicodedata.normalize("NFKC", name).casefold() if c.isalnum())


_CANONICAL = {normalized(field): field for field in FIELDS}


def parse_mapping(arguments: Iterable[str]) -> dict[str, str]:
    """The columns by field of ``--map FIELD=COLUMN``, each given once.

    Raises:
      UsageError: not of that form, an unknown field, or a field given twice.
    """
    mapping: dict[str, str] = {}
    for argument in arguments:
        name, equals, column = argument.partition("=")
        if not equals or not column.strip():
            raise UsageError(f"--map {argument}: write it as FIELD=COLUMN, such as customer_email=Email")
        field = _CANONICAL.get(normalized(name))
        if field is None:
            raise UsageError(f"--map {argument}: unknown field; the fields are {', '.join(FIELDS)}")
        if field in mapping:
            raise UsageError(f"--map: {field} is given twice; keep one")
        mapping[field] = column.strip()
    return mapping


def parse_consent(argument: str) -> tuple[str, str]:
    """Column and value of ``--consent COLUMN=VALUE``.

    Raises:
      UsageError: not of that form.
    """
    column, equals, value = argument.partition("=")
    if not equals or not column.strip() or not value.strip():
        raise UsageError(f"--consent {argument}: write it as COLUMN=VALUE, such as accepts_marketing=yes")
    return column.strip(), value.strip()


class ColumnMatcher:
    """Finds the fields in a header. ``mapping`` is field to column; ``consent`` the column that tells consent.

    ``has_shop`` and ``has_channel``: the command gives a value for rows without one, so that no column is needed.
    """

    def __init__(self, mapping: Mapping[str, str], consent: str | None, *, has_shop: bool, has_channel: bool) -> None:
        self._named: dict[str, str] = {field: mapping.get(field, field) for field in FIELDS}
        self._required: dict[str, str] = {field: f"--map {field}={column}" for field, column in mapping.items()}
        if consent is not None:
            self._named[CONSENT] = consent
            self._required[CONSENT] = f"--consent {consent}"
        self._has_shop = has_shop
        self._has_channel = has_channel
        self._by_name: dict[str, list[str]] = {}
        for field, column in self._named.items():
            self._by_name.setdefault(normalized(column), []).append(field)

    def fields_of(self, column: str) -> Sequence[str]:
        """The fields that a column of this name gives: none for most, several where ``--map`` says so."""
        return self._by_name.get(normalized(column), ())

    def match(self, path: Path, columns: Sequence[str], *, unique: bool) -> dict[str, int]:
        """The index of each field's column. With ``unique`` a used name may stand in the header once only.

        Raises:
          UsageError: a column that the command names isn't there, one that is used is there twice, or there is no
            column for the customer, the channel or the shop.
        """
        candidates: dict[str, list[int]] = {}
        for index, column in enumerate(columns):
            for field in self.fields_of(column):
                candidates.setdefault(field, []).append(index)
        for field, option in self._required.items():
            if field not in candidates:
                raise UsageError(f"{path}: {option}: no such column; {_seen(columns)}")
        found = {
            field: self._the_one(path, columns, field, indexes) if unique else indexes[0]
            for field, indexes in candidates.items()
        }
        self._refuse_incomplete(path, columns, found)
        return found

    def _the_one(self, path: Path, columns: Sequence[str], field: str, indexes: Sequence[int]) -> int:
        if len(indexes) == 1:
            return indexes[0]
        exact = [index for index in indexes if columns[index].strip() == self._named[field]]
        if len(exact) == 1:
            return exact[0]
        raise UsageError(
            f"{path}: {len(indexes)} columns could be {self._required.get(field, field)} "
            f"({', '.join(str(index + 1) for index in indexes)} from the left); rename all but one in the export"
        )

    def _refuse_incomplete(self, path: Path, columns: Sequence[str], found: Mapping[str, int]) -> None:
        if not any(field in found for field in _CUSTOMER_FIELDS):
            raise UsageError(
                f"{path}: no column for the customer; name one with --map customer_email=COLUMN "
                f"(or customer_shopid, customer_bhid); {_seen(columns)}"
            )
        if "channel" not in found and not self._has_channel:
            raise UsageError(
                f"{path}: no column for the channel; give --channel or --map channel=COLUMN; {_seen(columns)}"
            )
        if "shop" not in found and not self._has_shop:
            raise UsageError(f"{path}: no column for the shop; give --shop or --map shop=COLUMN; {_seen(columns)}")


def _seen(columns: Sequence[str]) -> str:
    # A file without a header shows its first row here, so what looks like an address or a phone number is not shown.
    shown = [
        "(looks like data)" if _LOOKS_LIKE_DATA.search(column) else " ".join(column.split())[:_NAME_SHOWN] or "(empty)"
        for column in columns[:_COLUMNS_SHOWN]
    ]
    more = f" and {len(columns) - _COLUMNS_SHOWN} more" if len(columns) > _COLUMNS_SHOWN else ""
    return f"columns seen: {', '.join(shown)}{more}"
