"""From the arguments of a command to the exports that they hold. Containers are known by their bytes, not by names."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from worker.campaigns.containers.base import ExportFile
from worker.campaigns.containers.folder import files_in
from worker.campaigns.containers.gzipped import GzippedFile
from worker.campaigns.containers.plain import PlainFile
from worker.campaigns.containers.spool import STDIN, SpooledFile, copied, is_pipe, spooled
from worker.campaigns.containers.zipped import LatestArchive, ZipMember, is_spreadsheet, members_of
from worker.errors import InputError, UsageError

_LOOKED_AT = 512
"""Bytes at the start of a file, in which the mark of a tar archive is the last."""

_GZIP = b"\x1f\x8b"
_ZIP = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
"""Excel's format before .xlsx, in which an .xlsx with a password is wrapped too."""

_OPEN_DOCUMENT, _OPEN_DOCUMENT_AT = b"mimetypeapplication/vnd.oasis.opendocument", 30
"""LibreOffice's own format: a zip archive whose first member, which is not packed, says so."""

_TAR, _TAR_AT = b"ustar", 257
_OTHERS = {b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd", b"BZh": "bzip2", b"7z\xbc\xaf": "7z", b"Rar!": "rar"}


def expand(arguments: Sequence[Path], note: Callable[[str], None]) -> Sequence[ExportFile]:
    """The exports of a command, in the order of its arguments; ``note`` is told what is left out, in one line each.

    Pipes are read to their end, which blocks. Of everything else only the first bytes are read.

    Raises:
      InputError: something can't be read, or an argument holds no export.
      UsageError: standard input is named twice, or is a terminal, or a folder holds too many files.
    """
    if arguments.count(STDIN) > 1:
        raise UsageError("-: standard input can be read only once; name it once")
    latest = LatestArchive()
    return [file for argument in arguments for file in _expand(argument, latest, note)]


def _expand(argument: Path, latest: LatestArchive, note: Callable[[str], None]) -> Iterator[ExportFile]:
    try:
        if argument.is_dir():
            files: Iterable[ExportFile] = (PlainFile(argument, member) for member in files_in(argument, note))
            yield from _some(str(argument), [held for file in files for held in _held(file, latest, note)])
        else:
            file = spooled(argument) if is_pipe(argument) else PlainFile(argument)
            yield from _some(file.name, list(_held(file, latest, note)))
    except OSError as error:
        raise InputError(f"{argument}: can't be read: {error.strerror or 'input/output error'}") from error


def _some(name: str, files: Sequence[ExportFile]) -> Sequence[ExportFile]:
    if not files:
        raise InputError(f"{name}: holds no export")
    return files


def _held(file: ExportFile, latest: LatestArchive, note: Callable[[str], None]) -> Iterator[ExportFile]:
    """The exports that a file holds: the file itself, what it unpacks to, or its members."""
    start = _start(file)
    if start.startswith(_GZIP):
        unpacked = GzippedFile(file)
        _refuse_archive(unpacked.name, _start(unpacked), nested=True)
        yield unpacked
    elif start.startswith(_ZIP) and not _is_open_document(start) and not is_spreadsheet(file):
        for member in members_of(file, latest, note):
            yield _unwrapped(member)
    else:
        _refuse_archive(file.name, start, nested=False)
        yield file


def _unwrapped(member: ZipMember) -> ExportFile:
    """The member; a copy of it if it is a spreadsheet, which can't be read while it is unpacked."""
    start = _start(member)
    if not start.startswith(_ZIP) or _is_open_document(start):
        _refuse_archive(member.name, start, nested=True)
        return member
    with member.open() as stream:
        copy = SpooledFile(member.name, member.path, member.member, member.on_disk, copied(member.name, stream))
    if not is_spreadsheet(copy):
        raise _nested(member.name)
    return copy


def _start(file: ExportFile) -> bytes:
    with file.open() as stream:
        return stream.read(_LOOKED_AT)


def _refuse_archive(name: str, start: bytes, *, nested: bool) -> None:
    if start.startswith(_OLE):
        raise InputError(
            f"{name}: is a spreadsheet with a password, or of a format before .xlsx; save it as .xlsx or CSV, without "
            "a password"
        )
    if _is_open_document(start):
        raise InputError(f"{name}: is of LibreOffice's own format (.ods), which is not read; save it as .xlsx or CSV")
    if start.startswith((_GZIP, *_ZIP)) and nested:
        raise _nested(name)
    if start[_TAR_AT:].startswith(_TAR):
        raise InputError(f"{name}: is a tar archive, which is not read; unpack it first")
    for mark, kind in _OTHERS.items():
        if start.startswith(mark):
            raise InputError(f"{name}: is compressed by {kind}, which is not read; unpack it first")


def _is_open_document(start: bytes) -> bool:
    return start.startswith(_ZIP) and start[_OPEN_DOCUMENT_AT:].startswith(_OPEN_DOCUMENT)


def _nested(name: str) -> InputError:
    return InputError(f"{name}: is an archive within an archive; unpack the outer one first")
