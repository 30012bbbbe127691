"""The addresses in the files of people who must not be called: a tool's own lists, any export, or plain lines."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

from worker.campaigns.containers.base import ExportFile
from worker.campaigns.exports.base import Export
from worker.campaigns.exports.detect import open_export
from worker.campaigns.exports.text import MAX_ROW, OverlongRowError, Source
from worker.campaigns.presets.recognition import Recognition
from worker.campaigns.presets.suppression import LONGEST_CELL, addresses_in
from worker.campaigns.warnings import ImportWarnings
from worker.errors import InputError, UsageError
from worker.model.addresses import normalized_email

MOST_DOUBTS = 100
"""Doubtful rows that are named; of more it is a wrong file, or one to be exported again."""


class Doubt(NamedTuple):
    """A row that may name somebody, and of which no address can be made."""

    file: str
    line: int
    because: str

    def __str__(self) -> str:
        return f"{self.file}: line {self.line} {self.because}"


@dataclass
class OptOuts:
    """Reads the addresses of some files, and counts. To be iterated once.

    Of an export whose tool tells consent, such as the archive of a Mailchimp audience, only those count who said no;
    of any other, everybody. ``mapping`` names columns, as ``--map`` does. ``told`` are the addresses; ``others`` are
    rows of people who said yes, ``blank`` rows without an address. ``doubtful`` rows are left out, and the first are in
    ``doubts``: the people in them would be called, so that whoever reads has to tell of them, or to refuse.
    """

    files: Sequence[ExportFile]
    mapping: Mapping[str, str]
    told: int = 0
    others: int = 0
    blank: int = 0
    doubtful: int = 0
    doubts: list[Doubt] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._warnings = ImportWarnings()

    @property
    def warnings(self) -> Sequence[str]:
        """One line for each problem that doesn't stop the reading."""
        return tuple(self._warnings.texts)

    def __iter__(self) -> Iterator[str]:
        """The addresses, as they are written.

        Raises:
          UsageError: a header can't be used.
          InputError: a file can't be read.
        """
        for file in self.files:
            source = Source(file, None, self._warnings)
            source.check()
            before = self.told + self.others + self.doubtful
            yield from (
                self._lines(source) if _is_plain(source) else self._rows(open_export(source, self._recognition()))
            )
            if self.told + self.others + self.doubtful == before:
                raise UsageError(f"{file.name}: has no address")

    def _recognition(self) -> Recognition:
        # Whatever says who agreed may be missing here: everybody in such a file is meant.
        return Recognition(self.mapping, (), has_shop=True, channel="any", ignore_consent=True, likely=True)

    def _lines(self, source: Source) -> Iterator[str]:
        before = self.told
        for number, text in _texts(source):
            if text.startswith("*@"):
                self._doubt(source.file, number, "is a pattern for all addresses of a domain; give each address")
            elif normalized_email(text) is not None:
                self.told += 1
                yield text
            # The first line may name the column.
            elif self.told > before or "@" in text:
                self._doubt(source.file, number, "is no e-mail address")

    def _rows(self, export: Export) -> Iterator[str]:
        told = export.recognised
        # A file of subscribed members says yes of all of them. Without a tool there are only rules that some tool has.
        tells = told.preset is not None and (bool(told.rules) or told.preset.status == "file name")
        everybody = told.suppresses or told.every_row is not None or told.untold or not tells
        for line, values, _, flaw, _ in export.records():
            if values is None:
                if flaw != "repeated_header":
                    self._doubt(export.file, line, f"can't be read ({flaw})")
                continue
            if not everybody and told.veto(values.consent, values.channel) is None:
                self.others += 1
                continue
            texts = addresses_in(values.customer_email)
            found = [text for text in texts if normalized_email(text) is not None]
            if not found and values.customer_email.strip():
                self._doubt(export.file, line, "has no e-mail address in its column")
                continue
            if found and (len(found) < len(texts) or len(values.customer_email) > LONGEST_CELL):
                self._doubt(export.file, line, "has something beside its addresses that may be one more")
            self.blank += not found
            self.told += len(found)
            yield from found

    def _doubt(self, file: ExportFile, line: int, because: str) -> None:
        self.doubtful += 1
        if len(self.doubts) < MOST_DOUBTS:
            self.doubts.append(Doubt(file.name, line, because))


def _is_plain(source: Source) -> bool:
    """Whether an address is all that is in the file's first line, or in the one below it, so that it has one column."""
    if source.is_spreadsheet():
        return False
    return any(normalized_email(text) is not None for _, text in islice(_texts(source), 2))


def _texts(source: Source) -> Iterator[tuple[int, str]]:
    """The lines that aren't blank, without quotes around them, each with its number.

    Raises:
      InputError: a line is too long to be one.
    """
    with source.lines() as lines:
        while True:
            lines.begin()
            try:
                line = next(lines, None)
            except OverlongRowError:
                raise InputError(
                    f"{source.file.name}: line {lines.number} is longer than {MAX_ROW // 2**20} MiB; write one address "
                    "a line"
                ) from None
            if line is None:
                return
            if text := line.strip().strip('"'):
                yield lines.number, text
