"""Which column of an export is which field: by its canonical name, or by the name that ``--map`` gives. Pure."""

import re
import unicodedata
from collections.abc import Container, Iterable, Mapping, Sequence
from shlex import quote

from worker.campaigns.exports.base import FIELDS
from worker.errors import UsageError
from worker.text.visible import one_line

_CUSTOMER_FIELDS = ("customer_email", "customer_shopid", "customer_bhid")
_LIKELY = {
    "customer_email": frozenset({"email", "emailaddress", "mail", "customeremailaddress", "useremail", "contactemail"}),
    "customer_shopid": frozenset({"customerid", "shopifycustomerid", "shopid"}),
}
"""What other programs call the customer's columns. They are only suggested: such an address may be a friend's."""

_COLUMNS_SHOWN = 40
_NAME_SHOWN = 60
"""Characters of a column's name in an error."""

VALUE_SHOWN = 40
"""Characters of a cell in an error or a warning."""
LOOKS_LIKE_DATA = re.compile(r"@|\d{7}")
"""Text that is not shown on a screen, since it may be an address or a telephone number."""

NO_COLUMN = "-"
"""The column in ``--map`` for a field that is read from no column, even if one has its name."""


def normalized(name: str) -> str:
    """A header without case, punctuation and spaces: ``Customer E-mail`` is ``customeremail``.

    A header of punctuation alone, such as ``✓``, keeps it, or it would look like a column without a name.
    """
    folded = unicodedata.normalize("NFKC", name).casefold()
    return "".join(c for c in folded if c.isalnum()) or folded.strip()


Column = str | tuple[str, ...]
"""A column's name, or the path of a nested key in JSON: ``("attributes", "email")``."""

_NESTED_CUSTOMER = "customer"

_CANONICAL = {normalized(field): field for field in FIELDS}


def parse_mapping(arguments: Iterable[str]) -> dict[str, str]:
    """The column of each field in ``--map FIELD=COLUMN``; :data:`NO_COLUMN` for a field that has none.

    Raises:
      UsageError: an argument has another form, names an unknown field, or a field is given twice.
    """
    # A field given twice is refused: the last one would silently decide whose address is used.
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


class ColumnMatcher:
    """Finds the fields in a header. ``mapping`` is the column by field; ``consent`` are the columns of ``--consent``.

    ``has_shop`` and ``has_channel``: the command gives a value for all rows, so that no such column is needed.
    ``known`` is the column by field that an export of a known tool has, where ``mapping`` names none; ``asked`` are its
    columns about consent. Both are in the header.
    """

    def __init__(
        self,
        mapping: Mapping[str, str],
        consent: Sequence[str],
        *,
        has_shop: bool,
        has_channel: bool,
        known: Mapping[str, str] | None = None,
        asked: Sequence[str] = (),
    ) -> None:
        named = dict(zip(FIELDS, FIELDS, strict=True)) | dict(known or {}) | dict(mapping)
        self._named = {field: column for field, column in named.items() if column != NO_COLUMN}
        self._required = {field: f"--map {field}={column}" for field, column in mapping.items() if field in self._named}
        self.consent: Sequence[str] = [f"consent {number}" for number in range(len(consent) + len(asked))]
        """Names for the columns of consent, beside the canonical fields: those of ``consent``, then ``asked``."""
        self.asked: Container[str] = frozenset(self.consent[len(consent) :])
        """Those of ``asked`` alone."""
        self._named |= zip(self.consent, (*consent, *asked), strict=True)
        self._required |= {self.consent[number]: f"--consent {column}" for number, column in enumerate(consent)}
        self._has_shop = has_shop
        self._has_channel = has_channel
        # Two indexes, so that each column of a row costs one look-up. Only columns that the command names may be
        # nested.
        self._by_name: dict[str, list[str]] = {}
        self._by_path: dict[str, list[str]] = {}
        for field, column in self._named.items():
            self._by_name.setdefault(normalized(column), []).append(field)
            if field in self._required:
                self._by_path.setdefault(_path(column), []).append(field)

    def fields_of(self, column: Column) -> Sequence[str]:
        """The fields that a column gives: none for most columns, several if ``--map`` says so.

        A nested key counts if the command names its path, or if it is in an object ``customer``. A canonical name that
        is nested elsewhere, such as the id of a customer's shop, may mean anything.
        """
        if isinstance(column, str):
            return self._by_name.get(normalized(column), ())
        if len(column) == 2 and column[0] == _NESTED_CUSTOMER:
            return self._by_name.get(normalized("".join(column)), ())
        return self._by_path.get(_path(".".join(column)), ())

    def is_exact(self, field: str, column: Column) -> bool:
        """Whether the column has the field's name letter by letter, and not just after :func:`normalized`."""
        return _name(column).strip() == self._named[field]

    def match(self, export: str, columns: Sequence[Column], *, unique: bool) -> dict[str, int]:
        """The index of each field's column. ``unique``: a name that is used may be in the header only once.

        Raises:
          UsageError: a column that the command names is missing, a column that is used exists twice, or there is no
            column for the customer, the channel or the shop.
        """
        candidates: dict[str, list[int]] = {}
        for index, column in enumerate(columns):
            for field in self.fields_of(column):
                candidates.setdefault(field, []).append(index)
        for field, option in self._required.items():
            if field not in candidates:
                raise UsageError(f"{export}: {option}: no such column; {_seen(columns)}")
        found = {
            field: self._the_one(export, columns, field, indexes) if unique else indexes[0]
            for field, indexes in candidates.items()
        }
        self._refuse_incomplete(export, columns, found)
        return found

    def _the_one(self, export: str, columns: Sequence[Column], field: str, indexes: Sequence[int]) -> int:
        if len(indexes) == 1:
            return indexes[0]
        # Guessing between two columns would send somebody else's referral, so only an exact name decides.
        exact = [index for index in indexes if self.is_exact(field, columns[index])]
        # A preset's column of consent isn't spelled by the person: either of two may hold the no.
        if len(exact) == 1 and field not in self.asked:
            return exact[0]
        raise UsageError(
            f"{export}: {len(indexes)} columns could be {self._called(field)} "
            f"({', '.join(str(index + 1) for index in indexes)} from the left); rename all but one in the export"
        )

    def _called(self, field: str) -> str:
        if field in self._required:
            return self._required[field]
        return f"the column {self._named[field]}" if field in self.consent else field

    def _refuse_incomplete(self, export: str, columns: Sequence[Column], found: Mapping[str, int]) -> None:
        if not any(field in found for field in _CUSTOMER_FIELDS):
            raise UsageError(
                f"{export}: no column for the customer; {_suggested(columns)}name one with --map customer_email=COLUMN "
                f"(or customer_shopid, customer_bhid); {_seen(columns)}"
            )
        if "channel" not in found and not self._has_channel:
            raise UsageError(
                f"{export}: no column for the channel; give --channel or --map channel=COLUMN; {_seen(columns)}"
            )
        if "shop" not in found and not self._has_shop:
            raise UsageError(f"{export}: no column for the shop; give --shop or --map shop=COLUMN; {_seen(columns)}")


def likely_address(columns: Sequence[Column]) -> dict[str, str]:
    """The column that is likely to hold the customers' addresses, as :class:`ColumnMatcher` takes what is ``known``.

    Empty where no single one is, or where one has the field's own name.
    """
    names = [column for column in columns if isinstance(column, str)]
    if "customer_email" in {_CANONICAL.get(normalized(name)) for name in names}:
        return {}
    likely = [name for name in names if normalized(name) in _LIKELY["customer_email"]]
    return {"customer_email": likely[0]} if len(likely) == 1 else {}


def shown_value(value: str) -> str:
    """A cell as a screen shows it: short, visible, and hidden if it may be an address or a telephone number."""
    if LOOKS_LIKE_DATA.search(value):
        return "(looks like data)"
    cut = value if len(value) <= VALUE_SHOWN else f"{value[:VALUE_SHOWN]}…"
    return f"'{one_line(cut)}'"


def _name(column: Column) -> str:
    return column if isinstance(column, str) else ".".join(column)


def _suggested(columns: Sequence[Column]) -> str:
    # The most likely mistake is an export with the shop system's own names, so the option is spelled out to be copied.
    for field, likely in _LIKELY.items():
        for column in columns:
            last = column if isinstance(column, str) else column[-1]
            if normalized(last) in likely:
                meant = " ".join(_name(column).split())
                return f"is it --map {quote(f'{field}={meant}')}? Else "
    return ""


def _path(name: str) -> str:
    # The dots are kept: `a.b` is not the key `ab`.
    return ".".join(map(normalized, name.split(".")))


def _seen(columns: Sequence[Column]) -> str:
    # If the file has no header, this is its first row. So anything like an address or a phone number is hidden.
    names = map(_name, columns[:_COLUMNS_SHOWN])
    shown = [
        "(looks like data)" if LOOKS_LIKE_DATA.search(name) else " ".join(name.split())[:_NAME_SHOWN] or "(empty)"
        for name in names
    ]
    more = f" and {len(columns) - _COLUMNS_SHOWN} more" if len(columns) > _COLUMNS_SHOWN else ""
    return f"columns seen: {', '.join(shown)}{more}"
