"""Exports in JSON: one object per line, or one array of objects."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, NoReturn

from worker.campaigns.columns import Column
from worker.campaigns.exports.base import FIELDS, Format, Record, Values
from worker.campaigns.exports.json_array import elements, open_end
from worker.campaigns.exports.text import OverlongRowError, Source
from worker.campaigns.presets.recognised import Recognised
from worker.campaigns.presets.recognition import Recognition
from worker.campaigns.reject_reasons import RejectReason
from worker.errors import InputError, UsageError
from worker.text.bounds import ROW, check

SAMPLE = 1000
"""Objects whose keys are collected before the rows are read."""

_RAW_SHOWN = 1000
"""Characters that are kept of a line which can't be read."""

_KEYS_REMEMBERED = 10_000
_LONGEST_REMEMBERED = 256
"""Keys, and characters of a key, that are remembered. Objects may have ever new keys, such as ids."""

_LONE_SURROGATE = re.compile(r"[\ud800-\udfff]")


_WRAPPED = re.compile(r'\{\s*"(\w{1,40})"\s*:\s*\[')
"""One object that holds the rows, as the answers of programs do. Its key is shown."""

_PLAIN = re.compile(r"[A-Za-z_]\w{0,39}", re.ASCII)
_GOES_ON = ("{", "[", ",", ":")


def several_lines(name: str) -> str:
    """Why a file is refused whose objects are written over several lines."""
    return (
        f"{name}: has objects of several lines, or commas between them; write one object a line, as `jq -c .` does, or "
        "`jq -c '.data[]'` if the rows are in an object's `data`"
    )


def _wrapping(text: str, row: Mapping[str, Any] | None) -> str:
    """The key under which an object may hold the rows of the file; empty if there is none."""
    if row is None:
        found = _WRAPPED.match(text)
        key = found[1] if found else ""
    else:
        lists = (key for key, value in row.items() if isinstance(value, list) and value and isinstance(value[0], dict))
        key = next(lists, "")
    return key if _PLAIN.fullmatch(key) else ""


def _unwrapped(key: str) -> str:
    return f"if its rows are in `{key}`, write one a line, as `jq -c '.{key}[]'` does"


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object of these pairs; raises ValueError if a key is there twice."""
    # Of two values Python keeps the last. That may be another address or consent than the one a person sees in the
    # file.
    row = dict(pairs)
    if len(row) < len(pairs):
        raise ValueError("a key stands twice in one object")
    return row


# Numbers keep their text: an id is a name and not a quantity, and a float would lose digits of a long one.
_DECODER = json.JSONDecoder(
    parse_int=str, parse_float=str, parse_constant=_refuse_constant, object_pairs_hook=_once_each
)


class JsonExport:
    """Lines of JSON, or one array.

    Its keys are its columns; nested keys are ``customer.email``, ``attributes.ok`` and so on.

    Objects may have different keys. If an object has several keys for one field, the key with the exact spelling
    counts, even if it is blank; if they contradict each other, the row is rejected. Values for consent must all agree.

    A cell that a job is made of must be a string, a number, a boolean or null; one by which a tool tells consent may
    be a list too. In the rejects file a row has one cell,
    the unchanged line.
    """

    format: Format = "json"
    columns: Sequence[str] = ("json",)

    def __init__(self, source: Source, recognition: Recognition, *, array: bool) -> None:
        """Read the first :data:`SAMPLE` objects and match their keys; ``array``: they are the elements of one.

        Raises:
          InputError: the file can't be read.
          UsageError: they aren't objects, or no key names the customer, the channel or the shop.
        """
        self._source = source
        self.array = array
        self.file = source.file
        name = source.file.name
        keys: dict[Column, None] = {}
        first: str | None = None
        wrapping = ""
        for _, text, readable in islice(self._texts(), SAMPLE):
            row = _parse(text) if readable else None
            if first is None:
                first = text
                wrapping = _wrapping(text, row)
                if row is None and readable and not array and text.endswith(_GOES_ON):
                    # Some of its lines may be whole objects, and would be sent without the others.
                    raise UsageError(several_lines(name))
            names = (key for key, _ in _cells(row or {}))
            keys |= dict.fromkeys(islice(names, _KEYS_REMEMBERED - len(keys)))
        if first is not None and not keys:
            wrapped = f"; {_unwrapped(wrapping)}" if wrapping else "; write one object a line"
            raise UsageError(f"{name}: no JSON object in its first {SAMPLE} rows{wrapped}")
        self.recognised = Recognised()
        self._matcher = recognition.unmatched()
        if keys:
            try:
                self._matcher, _, self.recognised = recognition.match(self.file, list(keys), unique=False)
            except UsageError as error:
                if not wrapping:
                    raise
                raise UsageError(f"{error}; {_unwrapped(wrapping)}") from None
        self._nothing = dict.fromkeys((*FIELDS, *self._matcher.consent), "")

    @property
    def encoding(self) -> str:
        return self._source.encodings

    @property
    def delimiter(self) -> str:
        return ""

    @property
    def preset(self) -> str | None:
        return self.recognised.name

    def row_of(self, line: int) -> int:
        return line

    def records(self) -> Iterator[Record]:
        """One record per object, as :class:`~worker.campaigns.exports.base.Export` describes."""
        fields: dict[Column, Sequence[tuple[str, bool]]] = {}
        for line, text, readable in self._texts():
            row = _parse(text) if readable else None
            values = "unreadable_row" if row is None else self._values(row, fields)
            cells = (text if readable else text[:_RAW_SHOWN],)
            if isinstance(values, Values):
                yield Record(line, values, cells)
            else:
                yield Record(line, None, cells, values)
        told, name = self.recognised, self.file.name
        if (told.suppresses or told.every_row) and self._source.warnings.met(open_end(name)):
            raise InputError(
                f"{name}: ends before its JSON array does, and whoever is missing from this list would be written to; "
                "export it again"
            )

    def _texts(self) -> Iterator[tuple[int, str, bool]]:
        """The line, the text and the readability of each object."""
        return (
            ((line, text, readable) for line, text, readable, _ in elements(self._source))
            if self.array
            else self._lines()
        )

    def _lines(self) -> Iterator[tuple[int, str, bool]]:
        """The number and text of each line that isn't blank, and whether it is whole and readable."""
        with self._source.lines() as lines:
            while True:
                lines.begin()
                try:
                    text, whole = next(lines), True
                except StopIteration:
                    return
                except OverlongRowError:
                    text, whole = lines.keep(1)[0], False
                if text := text.strip():
                    yield lines.number, text, whole and not lines.damaged

    def _values(self, row: Mapping[str, Any], known: dict[Column, Sequence[tuple[str, bool]]]) -> Values | RejectReason:
        """The cells of an object, or why it is rejected. ``known`` remembers the fields of a key."""
        found = self._nothing.copy()
        spelled: dict[str, bool] = {}
        for key, value in _cells(row):
            fields = known.get(key)
            if fields is None:
                fields = [(field, self._matcher.is_exact(field, key)) for field in self._matcher.fields_of(key)]
                if len(known) < _KEYS_REMEMBERED and sum(map(len, key)) <= _LONGEST_REMEMBERED:
                    known[key] = fields
            for field, exact in fields:
                text = _text(value)
                if text is None and field in self._matcher.asked:
                    # Klaviyo's suppressions are a list. A condition of --consent can't mean one.
                    text = _listed(value)
                if text is None:
                    return "not_text"
                before = found[field]
                if field not in spelled:
                    found[field], spelled[field] = text, exact
                elif text != before and ((text and before) or field not in FIELDS):
                    return "two_values"
                elif exact == spelled[field]:
                    found[field] = before or text
                elif exact:
                    found[field], spelled[field] = text, exact
        own = map(found.__getitem__, FIELDS)
        return Values._make((*own, tuple(map(found.__getitem__, self._matcher.consent))))


def _parse(text: str) -> dict[str, Any] | None:
    """The object in a line; None if the line holds none, or one that is too large to read."""
    try:
        check(text.encode(errors="surrogatepass"), ROW)
        row = _DECODER.decode(text)
    except ValueError:
        return None
    return row if isinstance(row, dict) else None


def _cells(row: Mapping[str, Any]) -> Iterator[tuple[Column, Any]]:
    """Every key with its value, also those of nested objects; keys come in the order of their depth."""
    nested: list[tuple[tuple[str, ...], Mapping[str, Any]]] = []
    for key, value in row.items():
        yield key, value
        if isinstance(value, dict):
            nested.append(((key,), value))
    # A queue: the list grows while it is walked. Recursion would be bounded by the depth of the JSON.
    for path, inner in nested:
        for key, value in inner.items():
            yield (*path, key), value
            if isinstance(value, dict):
                nested.append(((*path, key), value))


def _text(value: object) -> str | None:
    """A value as a cell; None for a list or an object, which is no text."""
    if isinstance(value, str):
        # JSON can escape a lone surrogate, which is no text and can't be encoded in UTF-8.
        return None if _LONE_SURROGATE.search(value) else value.strip()
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else None


def _listed(value: object) -> str | None:
    """A list or an object as the cell of a CSV file would have it, for a tool's rules; None if it is neither."""
    return json.dumps(value)[:_RAW_SHOWN] if isinstance(value, list | dict) else None
