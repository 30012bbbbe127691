"""What an .xlsx says about itself: its sheets, where their rows are, and the formats of numbers."""

import io
import posixpath
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import IO
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile

from worker.campaigns.containers.base import ExportFile
from worker.campaigns.containers.bounds import check_size, read_through, unpacked
from worker.campaigns.containers.zipped import opened, refusing_damage
from worker.campaigns.exports.xlsx.xml import parse
from worker.errors import InputError

_MOST_DESCRIPTION = 16 * 1024**2
"""Bytes of a part that is kept whole: the list of sheets and the formats. Real ones have some 10 KB."""

_WORKBOOK = "xl/workbook.xml"
_RELATIONS = "xl/_rels/workbook.xml.rels"
_STYLES = "xl/styles.xml"
_STRINGS = "xl/sharedStrings.xml"


@dataclass(frozen=True)
class Workbook:
    """``sheets`` are the parts of the visible sheets by name, in order. ``formats`` has a format by style of a cell.

    ``since_1904``: days are counted from 1904 instead of 1900.
    """

    sheets: Mapping[str, str]
    formats: Sequence[str | int]
    since_1904: bool


class Package:
    """The parts of an .xlsx. Opened anew for each reading, as the file is."""

    def __init__(self, file: ExportFile) -> None:
        self._file = file
        self._name = file.name

    def workbook(self) -> Workbook:
        """The sheets and formats.

        Raises:
          InputError: it is damaged, needs a password or would unpack to too much.
        """
        with self._opened() as archive:
            self._check(archive)
            sheets, since_1904 = self._sheets(archive)
            return Workbook(sheets, self._formats(archive), since_1904)

    @contextmanager
    def part(self, path: str) -> Iterator[IO[bytes] | None]:
        """The bytes of a part; None if there is no such part.

        Raises:
          InputError: it is damaged, also while it is read.
        """
        with self._opened() as archive, ExitStack() as stack:
            yield self._part(archive, path, stack)

    @contextmanager
    def strings(self) -> Iterator[IO[bytes] | None]:
        """The part of the texts that cells share."""
        with self.part(_STRINGS) as part:
            yield part

    def check(self, path: str) -> None:
        """Read a part to its end, so that a damaged one is refused before any row of it is used.

        Raises:
          InputError: it is damaged.
        """
        with self.part(path) as part:
            if part is None:
                raise self._damaged()
            read_through(part)

    @contextmanager
    def _opened(self) -> Iterator[ZipFile]:
        with opened(self._file) as archive:
            yield archive

    def _part(self, archive: ZipFile, path: str, stack: ExitStack) -> IO[bytes] | None:
        try:
            with refusing_damage(self._name):
                stream = stack.enter_context(archive.open(path))
        except KeyError:
            return None
        return stack.enter_context(unpacked(self._name, stream, lambda _: None, ExitStack()))

    def _check(self, archive: ZipFile) -> None:
        """Check the sizes that the archive tells; more than these never comes out."""
        members = archive.infolist()
        with self._file.open() as file:
            packed = file.seek(0, io.SEEK_END)
        check_size(self._name, sum(member.file_size for member in members), packed)
        if any(member.flag_bits & 1 for member in members):
            raise InputError(f"{self._name}: needs a password; save it without one")
        if any(member.compress_type not in (ZIP_STORED, ZIP_DEFLATED) for member in members):
            raise self._damaged()

    def _read(self, archive: ZipFile, path: str, start: Callable[[str, Mapping[str, str]], None]) -> None:
        with ExitStack() as stack:
            part = self._part(archive, path, stack)
            if part is None:
                return
            if archive.getinfo(path).file_size > _MOST_DESCRIPTION:
                raise InputError(f"{self._name}: has too many sheets or formats to be an export; save it as CSV")
            for _ in parse(self._name, part, start, lambda _: None, lambda _: None):
                pass

    def _sheets(self, archive: ZipFile) -> tuple[Mapping[str, str], bool]:
        named: list[tuple[str, str]] = []
        parts: dict[str, str] = {}
        properties: list[str] = []

        def sheet(tag: str, attributes: Mapping[str, str]) -> None:
            if tag == "sheet" and attributes.get("state", "visible") == "visible":
                relation = next((value for key, value in attributes.items() if key.endswith("}id")), "")
                named.append((attributes.get("name", ""), relation))
            elif tag == "workbookPr":
                properties.append(attributes.get("date1904", "0"))

        def relation(tag: str, attributes: Mapping[str, str]) -> None:
            if tag == "Relationship" and attributes.get("Type", "").endswith("/worksheet"):
                target = attributes.get("Target", "")
                parts[attributes.get("Id", "")] = posixpath.normpath(posixpath.join("/xl", target)).lstrip("/")

        self._read(archive, _WORKBOOK, sheet)
        self._read(archive, _RELATIONS, relation)
        sheets = {name: parts[key] for name, key in named if key in parts}
        if not sheets:
            raise InputError(f"{self._name}: has no sheet of rows; save the rows as .xlsx or CSV")
        return sheets, bool(properties) and properties[0] in ("1", "true")

    def _formats(self, archive: ZipFile) -> Sequence[str | int]:
        codes: dict[int, str] = {}
        formats: list[str | int] = []
        within = [False]

        def style(tag: str, attributes: Mapping[str, str]) -> None:
            if tag == "numFmt":
                codes[_number(attributes.get("numFmtId"))] = attributes.get("formatCode", "")
            # Before and after the formats of cells come lists with elements of the same name.
            elif tag in ("cellStyleXfs", "cellXfs", "cellStyles", "dxfs"):
                within[0] = tag == "cellXfs"
            elif tag == "xf" and within[0]:
                number = _number(attributes.get("numFmtId"))
                formats.append(codes.get(number, number))

        self._read(archive, _STYLES, style)
        return formats

    def _damaged(self) -> InputError:
        return InputError(f"{self._name}: is damaged; save it again, or save it as CSV")


def _number(text: str | None) -> int:
    return int(text) if text and text.isdecimal() and len(text) < 10 else 0
