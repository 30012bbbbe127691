"""The exports in a zip archive."""

import copy
import errno
import io
import os
import stat
import struct
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from worker.campaigns.containers.base import ExportFile
from worker.campaigns.containers.bounds import check_size, read_through, unpacked
from worker.campaigns.containers.folder import MOST_FILES, SUFFIXES, is_hidden
from worker.errors import InputError
from worker.text.masking import mask
from worker.text.visible import one_line

_LONGEST_DIRECTORY = 4 * 1024**2
"""Bytes of the list of members, which is read whole. 10,000 members with names of 300 characters fit in."""

_ENCRYPTED = 0x1

_NAME_SHOWN = 200
"""Characters of a member's name in a message. The format allows 65,535."""

_LOCAL_HEADER = 30
"""Bytes at least between the place of a member and its content."""


class _SmallReads(io.BufferedReader):
    """A file of which only so much is read at once; ``zipfile`` reads the list of members in one go."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > _LONGEST_DIRECTORY:
            raise BadZipFile("the list of members is too long")
        return super().read(_LONGEST_DIRECTORY if size is None or size < 0 else size)


class _Archive:
    """An open archive, which is closed once nobody refers to it any more."""

    def __init__(self, packed: ExportFile) -> None:
        with ExitStack() as stack:
            self.zip = stack.enter_context(opened(packed))
            weakref.finalize(self, stack.pop_all().close)


class LatestArchive:
    """Keeps the archive open whose member was opened last. For one thread at a time.

    Opening an archive reads its list of members, and each pass over the exports opens each of them. Without this, an
    archive of 800 members of one row took a minute. One is enough, since members are read in their order.
    """

    def __init__(self) -> None:
        self._packed: ExportFile | None = None
        self._archive: _Archive | None = None

    def of(self, packed: ExportFile) -> _Archive:
        """The archive; raises as :func:`opened`."""
        if self._archive is None or self._packed is not packed:
            self._packed, self._archive = packed, _Archive(packed)
        return self._archive


@dataclass
class ZipMember:
    """One member of a zip archive, as :class:`ExportFile` describes. It is unpacked while it is read."""

    packed: ExportFile
    info: ZipInfo
    latest: LatestArchive
    _checked: bool = field(default=False, init=False)

    @cached_property
    def name(self) -> str:
        # Whoever packed the archive chose the name; it may hold an address, or what steers a terminal. Each row asks
        # for it, and making it costs a third of reading one.
        shown = one_line(mask(self.member))
        cut = shown if len(shown) <= _NAME_SHOWN else f"…{shown[-_NAME_SHOWN:]}"
        return f"{self.packed.name}/{cut}"

    @property
    def path(self) -> Path:
        return self.packed.path

    @cached_property
    def member(self) -> str:
        return _shown(self.info.filename)

    @property
    def on_disk(self) -> Path | None:
        return self.packed.on_disk

    def open(self) -> io.BufferedReader:
        with ExitStack() as stack:
            archive = self.latest.of(self.packed)
            # What is beyond the size that the archive tells would be cut off silently. So one byte more is asked for.
            info = copy.copy(self.info)
            info.file_size += 1
            with refusing_damage(self.name):
                stream = stack.enter_context(archive.zip.open(info))
            # Another archive may become the latest one meanwhile; this one stays open for its stream.
            stack.callback(id, archive)
            return unpacked(self.name, stream, self._check_size, stack.pop_all())

    def _check_size(self, total: int) -> None:
        # What it says was checked with the other members.
        if total > self.info.file_size:
            raise _damaged(self.name)

    def check(self) -> None:
        if not self._checked:
            read_through(self.open())
            self._checked = True


def is_spreadsheet(packed: ExportFile) -> bool:
    """Whether a zip archive is a file of Excel, Word and the like, whatever the folder of its parts is called.

    Raises:
      InputError: it is no zip archive that can be read.
    """
    with opened(packed) as archive:
        names = [info.filename.replace("\\", "/").casefold() for info in archive.infolist()]
        return any(name == "[content_types].xml" or name.startswith("xl/") for name in names)


def members_of(packed: ExportFile, latest: LatestArchive, note: Callable[[str], None]) -> Iterator[ZipMember]:
    """The exports in a zip archive, in its order. The archives of a command share ``latest``.

    Left out are hidden files, and, with a ``note``, links and files of other kinds. Nothing is written to disk, so that
    a name that leads out of the archive does no harm.

    Raises:
      InputError: it can't be read, needs a password, or would unpack to too much.
    """
    with packed.open() as file:
        size = file.seek(0, os.SEEK_END)
    with opened(packed) as archive:
        # A name may be empty, in which is_dir() looks for a last character.
        files = [info for info in archive.infolist() if info.filename and not info.is_dir()]
        members = [info for info in files if not is_hidden(info.filename)]
    if len(members) > MOST_FILES:
        raise InputError(f"{packed.name}: holds more than {MOST_FILES:,} files; unpack it, and name the exports")
    read = list(_readable([ZipMember(packed, info, latest) for info in members], note))
    check_size(packed.name, sum(member.info.file_size for member in read), size)
    _refuse_overlaps(packed.name, files)
    yield from read


def _refuse_overlaps(name: str, files: Sequence[ZipInfo]) -> None:
    """Refuse an archive whose members share bytes, as no program writes it.

    Thousands of them may be the same few bytes, each of which would be read.
    """
    end = 0
    for info in sorted(files, key=lambda info: info.header_offset):
        if info.header_offset < end:
            raise _damaged(name)
        end = info.header_offset + _LOCAL_HEADER + info.compress_size


def _readable(members: Sequence[ZipMember], note: Callable[[str], None]) -> Iterator[ZipMember]:
    for member in members:
        info = member.info
        if stat.S_ISLNK(info.external_attr >> 16):
            note(f"{member.name}: is a link and is left out")
        elif PurePosixPath(member.member).suffix.lower() not in SUFFIXES:
            note(f"{member.name}: is no kind of export and is left out")
        elif info.flag_bits & _ENCRYPTED:
            raise InputError(f"{member.name}: needs a password; unpack the archive first")
        elif info.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
            # The others may give megabytes for each kilobyte at once.
            raise InputError(f"{member.name}: is compressed in an unusual way; unpack the archive first")
        else:
            yield member


@contextmanager
def opened(packed: ExportFile) -> Iterator[ZipFile]:
    """The archive.

    Raises:
      InputError: it is damaged.
    """
    with packed.open() as raw, _SmallReads(raw) as file:
        with refusing_damage(packed.name):
            archive = ZipFile(file)
        with archive:
            yield archive


@contextmanager
def refusing_damage(name: str) -> Iterator[None]:
    """Map what ``zipfile`` raises for bytes that are no archive to InputError."""
    try:
        yield
    except (BadZipFile, EOFError, NotImplementedError, RuntimeError, ValueError, OverflowError, struct.error):
        raise _damaged(name) from None
    except OSError as error:
        # An offset before the start of the file.
        if error.errno != errno.EINVAL:
            raise
        raise _damaged(name) from None


def _damaged(name: str) -> InputError:
    return InputError(f"{name}: is damaged and can't be unpacked; download or copy it again")


def _shown(name: str) -> str:
    """A member's name, or only its last part if it leads out of the archive."""
    parts = PurePosixPath(name.replace("\\", "/")).parts
    leads_out = name.startswith("/") or "\\" in name or ".." in parts or any(":" in part for part in parts)
    return parts[-1] if leads_out and parts else name
