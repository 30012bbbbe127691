"""Recognises whose export a header is, and finds its columns. Pure."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import PurePath
from typing import NamedTuple

from worker.campaigns.columns import LOOKS_LIKE_DATA, Column, ColumnMatcher, likely_address, normalized
from worker.campaigns.containers.base import ExportFile
from worker.campaigns.exports.base import FIELDS
from worker.campaigns.presets.file_status import status_by_columns, status_of
from worker.campaigns.presets.preset import Preset
from worker.campaigns.presets.recognised import Recognised
from worker.campaigns.presets.rules import Rule
from worker.campaigns.presets.table import PRESETS
from worker.campaigns.reject_reasons import RejectReason
from worker.errors import UsageError

NO_PRESET = "none"
"""The preset in ``--preset`` that switches the presets off."""

_REMEDY = "or give --ignore-consent to treat every row of it as consented"


_OPT_OUTS = [
    rule
    for preset in PRESETS.values()
    for rule in preset.rules
    if not rule.needed and set(rule.columns) in map(set, preset.signatures)
]
"""The rules whose column alone tells the tool, and that veto no row without it. In JSON without blank keys the first
opt-out may come after the objects by which the file is recognised."""


class Matched(NamedTuple):
    """A header with its columns found: the index of each field's column, and what the export is."""

    matcher: ColumnMatcher
    positions: Mapping[str, int]
    recognised: Recognised


@dataclass(frozen=True)
class Recognition:
    """How the headers of a command's exports are read.

    ``mapping`` and ``consent`` are the columns of ``--map`` and ``--consent``. ``preset`` is that of all exports:
    :data:`NO_PRESET` for none, None if each header decides. ``ignore_consent``: an export that lacks the columns by
    which its tool tells consent is read nevertheless. ``has_shop``: the command gives a shop for all rows. ``channel``
    is the one that it gives, or None. ``likely``: in an export of no known tool that has no column of a customer, the
    one whose name means an address is taken; for files in which everybody is meant.
    """

    mapping: Mapping[str, str]
    consent: Sequence[str]
    has_shop: bool
    channel: str | None
    preset: str | None = None
    ignore_consent: bool = False
    likely: bool = False

    def match(self, file: ExportFile, columns: Sequence[Column], *, unique: bool, ours: bool = False) -> Matched:
        """Recognise the header, and find its columns.

        ``unique``: a name that is used may be in the header only once. ``ours``: it is a file of rejected rows or
        results, in whose name no status can be trusted to be missing.

        Raises:
          UsageError: the header can't be used, is of two tools, or doesn't tell the consent that its tool tells.
        """
        names = {normalized(column) for column in columns if isinstance(column, str)}
        preset, why = self._preset_of(file, names)
        if preset is not None and preset.headerless is not None and self.preset is None and not ours:
            # The names of its columns are made up, and in no file.
            why = "its name"
        if preset is None:
            late = () if unique or self.preset == NO_PRESET else _OPT_OUTS
            likely = likely_address(columns) if self.likely and "customer_email" not in self.mapping else {}
            matcher = self._matcher(likely, [column for rule in late for column in rule.columns])
            positions = matcher.match(file.name, columns, unique=unique)
            return Matched(matcher, positions, Recognised(rules=_numbered(late, len(self.consent))))
        if preset.suppression:
            return self._match_list(file, columns, names, preset, why, unique=unique)
        rules, sms = (_usable(some, names, fixed=unique) for some in (preset.rules, preset.sms))
        known = self._known(preset, columns, names)
        matcher = self._matcher(known, [column for rule in (*rules, *sms) for column in rule.columns])
        positions = matcher.match(file.name, columns, unique=unique)
        every_row, untold = self._consent_of(file, names, preset, why, ours=ours)
        first = len(self.consent)
        recognised = Recognised(
            preset,
            why,
            every_row,
            untold,
            _numbered(rules, first),
            _numbered(sms, first + sum(len(rule.columns) for rule in rules)),
            self.channel or "",
        )
        return Matched(matcher, positions, recognised)

    def unmatched(self) -> ColumnMatcher:
        """The columns of an export of no known tool."""
        return self._matcher({}, ())

    def headerless(self, file: ExportFile, first_row: Sequence[str]) -> Preset | None:
        """The preset of a file that has no header, by its name or by ``--preset``; None if the first row is one."""
        if not first_row or not LOOKS_LIKE_DATA.search(first_row[0]) or self.preset == NO_PRESET:
            return None
        for preset in PRESETS.values():
            by_name = preset.headerless is not None and preset.headerless.fullmatch(_own_name(file))
            if preset.headerless is not None and (self.preset == preset.name or (self.preset is None and by_name)):
                return preset
        return None

    def _preset_of(self, file: ExportFile, names: Collection[str]) -> tuple[Preset | None, str]:
        """The export's preset, and by what it was chosen."""
        fitting = {preset.name: why for preset in PRESETS.values() if (why := _signature(preset, names))}
        lists = [name for name in fitting if PRESETS[name].suppression]
        if self.preset is not None and self.preset not in fitting and len(fitting) == len(lists) == 1:
            # A suppression list stays one, or the people on it would be written to.
            return PRESETS[lists[0]], fitting[lists[0]]
        if self.preset is not None and lists and self.preset not in lists:
            self._refuse_list(file, names, lists[0], fitting[lists[0]])
        if self.preset == NO_PRESET:
            return None, ""
        if self.preset is not None:
            self._refuse_untold(file, PRESETS[self.preset], fitting)
            return PRESETS[self.preset], "--preset"
        if len(fitting) > 1:
            raise UsageError(
                f"{file.name}: looks like an export of {' and of '.join(fitting)}; say which with --preset, or give "
                f"--preset {NO_PRESET}"
            )
        return next(((PRESETS[name], why) for name, why in fitting.items()), (None, ""))

    def _refuse_list(self, file: ExportFile, names: Collection[str], listed: str, why: str) -> None:
        """Refuse ``--preset`` for what may as well be a suppression list, unless its tool's consent is told in it.

        Raises:
          UsageError: it isn't.
        """
        preset = PRESETS.get(self.preset or "")
        if preset is None or not any(_has(names, columns) for columns in preset.telling):
            raise UsageError(
                f"{file.name}: looks like the suppression list {listed} by {why}, and --preset {self.preset} would "
                f"write to its people; give --preset {listed}, or delete these columns if it is no such list"
            )

    def _refuse_untold(self, file: ExportFile, preset: Preset, fitting: Mapping[str, str]) -> None:
        """Refuse ``--preset`` for an export of another tool if its columns of consent would be passed over.

        Raises:
          UsageError: they would be.
        """
        # A preset that tells consent refuses an export without its columns; these have none that could be missing.
        if preset.telling or preset.suppression or (preset.rules and preset.name in fitting):
            return
        for name, why in fitting.items():
            if name != preset.name and PRESETS[name].rules:
                raise UsageError(
                    f"{file.name}: --preset {preset.name} would pass over the consent that {name} tells, whose export "
                    f"it looks like by {why}; give --preset {name}, or --preset {NO_PRESET} with --consent"
                )

    def _match_list(
        self,
        file: ExportFile,
        columns: Sequence[Column],
        names: Collection[str],
        preset: Preset,
        why: str,
        *,
        unique: bool,
    ) -> Matched:
        """A suppression list needs the column of the address and no other, and no ``--consent``."""
        field = "customer_email"
        mapped = self.mapping.get(field, "")
        known = {field: mapped} if normalized(mapped) in names else _columns_of(preset, names, [field])
        if field not in known and normalized(field) not in names:
            raise UsageError(
                f"{file.name}: is recognised as {preset.name} by {why}, but no column is known to have the addresses; "
                f"name it with --map {field}=COLUMN"
            )
        rules = _usable(preset.rules, names, fixed=unique)
        asked = [column for rule in rules for column in rule.columns]
        matcher = ColumnMatcher(
            dict.fromkeys(FIELDS, "-") | {field: known.get(field, field)},
            (),
            has_shop=True,
            has_channel=True,
            asked=asked,
        )
        positions = matcher.match(file.name, columns, unique=unique)
        return Matched(matcher, positions, Recognised(preset, why, rules=_numbered(rules, 0)))

    def _matcher(self, known: Mapping[str, str], asked: Sequence[str]) -> ColumnMatcher:
        return ColumnMatcher(
            self.mapping,
            self.consent,
            has_shop=self.has_shop,
            has_channel=self.channel is not None,
            known=known,
            asked=asked,
        )

    def _known(self, preset: Preset, columns: Sequence[Column], names: Collection[str]) -> Mapping[str, str]:
        """The columns of the preset for the fields that neither ``--map`` nor a canonical name gives."""
        plain = self.unmatched()
        found = {field for column in columns for field in plain.fields_of(column)}
        return _columns_of(preset, names, [field for field in FIELDS if field not in found | set(self.mapping)])

    def _consent_of(
        self, file: ExportFile, names: Collection[str], preset: Preset, why: str, *, ours: bool
    ) -> tuple[RejectReason | None, bool]:
        """The reason of every row, if the file has one status, and whether the export doesn't tell consent.

        Raises:
          UsageError: it doesn't, and the command doesn't ignore that.
        """
        problem = None
        if preset.status == "file name":
            # The rows of a rejects file that were left out for their status still say so. All others of it had passed.
            status = status_of(_own_name(file)) or ("subscribed" if ours else status_by_columns(names))
            if status is not None:
                return (None if status == "subscribed" else status), False
            problem = (
                "its name doesn't say whether its members are subscribed, unsubscribed or cleaned; give the files or "
                "the zip with the names that Mailchimp gave them, or give --ignore-consent to treat every row of it as "
                "consented"
            )
        elif preset.telling and not any(_has(names, columns) for columns in preset.telling):
            lacking = [column for column in sorted(preset.telling[0]) if normalized(column) not in names]
            who = "who agreed to be written to; export it again with"
            problem = (
                f"has no column {lacking[0]}, which tells {who} that column, {_REMEDY}"
                if len(lacking) == 1
                else f"has no columns {' and '.join(lacking)}, which tell {who} them, {_REMEDY}"
            )
        if problem is None:
            return None, False
        if not self.ignore_consent:
            raise UsageError(
                f"{file.name}: is recognised as {preset.name} by {why}, but {problem}; if it is no export of "
                f"{preset.name}, give --preset {NO_PRESET}"
            )
        return None, True


def _signature(preset: Preset, names: Collection[str]) -> str:
    """The columns by which the preset fits, for a person; empty if it doesn't."""
    return next((", ".join(sorted(columns)) for columns in preset.signatures if _has(names, columns)), "")


def _has(names: Collection[str], columns: Iterable[str]) -> bool:
    return all(normalized(column) in names for column in columns)


def _usable(rules: Sequence[Rule], names: Collection[str], *, fixed: bool) -> Sequence[Rule]:
    """The rules that can be asked. Unless the columns are ``fixed``, later rows may have more than these names.

    Tools leave keys without a value out of JSON, so the first opt-out may come after a million rows without one.
    """
    return [rule for rule in rules if _has(names, rule.columns if fixed else rule.needed)]


def _numbered(rules: Sequence[Rule], first: int) -> Sequence[tuple[Rule, int]]:
    """Each rule with the index of its first cell, counted from ``first``."""
    ends = list(accumulate((len(rule.columns) for rule in rules), initial=first))
    return list(zip(rules, ends, strict=False))


def _columns_of(preset: Preset, names: Collection[str], fields: Iterable[str]) -> dict[str, str]:
    """The preset's columns that are there, for these fields."""
    found = {}
    for field in fields:
        for column in preset.fields.get(field, ()):
            if normalized(column) in names:
                found[field] = column
                break
    return found


def _own_name(file: ExportFile) -> str:
    return PurePath(file.member or file.path).name
