"""What an .xlsx says about itself: its sheets, where their rows are, and the formats of numbers."""

import io
import posixpath
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import IO
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

from worker.campaigns.containers.base import ExportFile
from worker.campaigns.containers.bounds import check_size, read_through, unpacked
from worker.campaigns.containers.zipped import opened, refusing_damage
from worker.campaigns.exports.xlsx.xml import parse
from worker.errors import InputError

_MOST_DESCRIPTION = 16 * 1024**2
"""Bytes of a part that is kept whole: the list of sheets and the formats. Real ones have some 10 KB."""

_YES = ("1", "true")
_USUAL = {"officeDocument": "xl/workbook.xml", "styles": "xl/styles.xml", "sharedStrings": "xl/sharedStrings.xml"}
"""Where the parts of each kind are, unless the file says where."""


@dataclass(frozen=True)
class Workbook:
    """``sheets`` are the parts of the visible sheets by name, in order. ``formats`` has a format by style of a cell.

    ``strings`` is the part of the texts that cells share. ``since_1904``: days are counted from 1904 instead of 1900.
    ``calculated``: the values of formulas needn't be calculated anew, so that a spreadsheet wrote them.
    """

    sheets: Mapping[str, str]
    formats: Sequence[str | int]
    strings: str
    since_1904: bool
    calculated: bool


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
            path = next(iter(self._related(archive, "").get("officeDocument", {}).values()), _USUAL["officeDocument"])
            if path.endswith(".bin"):
                raise InputError(f"{self._name}: is of the format .xlsb, which is not read; save it as .xlsx or CSV")
            related = self._related(archive, path)
            sheets, since_1904, calculated = self._sheets(archive, path, related.get("worksheet", {}))
            styles, strings = (
                next(iter(related.get(kind, {}).values()), _USUAL[kind]) for kind in ("styles", "sharedStrings")
            )
            return Workbook(sheets, self._formats(archive, styles), strings, since_1904, calculated)

    @contextmanager
    def part(self, path: str) -> Iterator[IO[bytes] | None]:
        """The bytes of a part; None if there is no such part.

        Raises:
          InputError: it is damaged, also while it is read.
        """
        with self._opened() as archive, ExitStack() as stack:
            yield self._part(archive, path, stack)

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
        info = self._info(archive, path)
        if info is None:
            return None
        with refusing_damage(self._name):
            stream = stack.enter_context(archive.open(info))
        return stack.enter_context(unpacked(self._name, stream, lambda _: None, ExitStack()))

    def _info(self, archive: ZipFile, path: str) -> ZipInfo | None:
        """The member that is this part: the format compares names without case, and old programs write backslashes."""
        wanted = path.casefold()
        found = [info for info in archive.infolist() if info.filename.replace("\\", "/").casefold() == wanted]
        if len(found) > 1:
            # Programs differ in which of them they read.
            raise self._damaged()
        return found[0] if found else None

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
            info = self._info(archive, path)
            if part is None or info is None:
                return
            if info.file_size > _MOST_DESCRIPTION:
                raise InputError(f"{self._name}: has too many sheets or formats to be an export; save it as CSV")
            for _ in parse(self._name, part, start, lambda _: None, lambda _: None):
                pass

    def _related(self, archive: ZipFile, path: str) -> Mapping[str, Mapping[str, str]]:
        """The parts that a part names, by their kind and the name by which it does; those of the file for ""."""
        folder, name = posixpath.split(path)
        found: dict[str, dict[str, str]] = {}

        def relation(tag: str, attributes: Mapping[str, str]) -> None:
            if tag == "Relationship" and attributes.get("TargetMode") != "External":
                target = attributes.get("Target", "").replace("\\", "/")
                part = posixpath.normpath(posixpath.join("/", folder, target)).lstrip("/")
                kind = attributes.get("Type", "").rpartition("/")[2]
                found.setdefault(kind, {})[attributes.get("Id", "")] = part

        self._read(archive, posixpath.join(folder, "_rels", f"{name}.rels"), relation)
        return found

    def _sheets(
        self, archive: ZipFile, workbook: str, parts: Mapping[str, str]
    ) -> tuple[Mapping[str, str], bool, bool]:
        named: list[tuple[str, str]] = []
        flags = {"date1904": "0", "fullCalcOnLoad": "0"}

        def sheet(tag: str, attributes: Mapping[str, str]) -> None:
            if tag == "sheet" and attributes.get("state", "visible") == "visible":
                relation = next((value for key, value in attributes.items() if key.endswith("}id")), "")
                named.append((attributes.get("name", ""), relation))
            elif tag in ("workbookPr", "calcPr"):
                flags.update({name: value for name, value in attributes.items() if name in flags})

        self._read(archive, workbook, sheet)
        sheets = {name: parts[key] for name, key in named if key in parts}
        if not sheets:
            raise InputError(f"{self._name}: has no sheet of rows; save the rows as .xlsx or CSV")
        return sheets, flags["date1904"] in _YES, flags["fullCalcOnLoad"] not in _YES

    def _formats(self, archive: ZipFile, styles: str) -> Sequence[str | int]:
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

        self._read(archive, styles, style)
        return formats

    def _damaged(self) -> InputError:
        return InputError(f"{self._name}: is damaged; save it again, or save it as CSV")


def _number(text: str | None) -> int:
    return int(text) if text and text.isdecimal() and len(text) < 10 else 0
