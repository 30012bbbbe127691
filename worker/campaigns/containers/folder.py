"""The exports in a folder."""

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from worker.campaigns.csv_escaping import REJECTS, RESULTS
from worker.errors import InputError, UsageError

MOST_FILES = 10_000
"""Files that a folder may hold. More are hardly meant as one campaign."""

SUFFIXES = frozenset(
    {"", ".csv", ".tsv", ".tab", ".txt", ".json", ".jsonl", ".ndjson", ".xlsx", ".gz", ".gzip", ".zip"}
)
"""Suffixes of files that may be an export. Of others, such as a picture, no row can be lost."""

_OURS = (*(",".join(names).encode() for names in (REJECTS, RESULTS)), b'{"event":"campaign"')


def is_hidden(member: str) -> bool:
    """Whether a file is none of the user's own: a dot file, what macOS adds, or Excel's lock on a file."""
    # `..` is no name but a way out, which a member of an archive may have in its name.
    parts = member.replace("\\", "/").split("/")
    return any(
        (part.startswith(".") and not part.startswith("..")) or part == "__MACOSX" or part.startswith("~$")
        for part in parts
    )


def files_in(folder: Path, note: Callable[[str], None]) -> Iterator[str]:
    """The files in a folder and its folders by their relative names, in the order of these names.

    Left out are hidden files, and, with a ``note``: what is no regular file, links that lead out of the folder, files
    of other kinds, and the files that our commands have written.

    Raises:
      InputError: a folder can't be read.
      UsageError: it holds more than :data:`MOST_FILES`.
    """
    root = folder.resolve()
    found = []
    for place, folders, names in os.walk(folder, onerror=_refuse):
        # Links to folders are not followed; one could lead back.
        folders[:] = sorted(name for name in folders if not is_hidden(name))
        found += [str((Path(place) / name).relative_to(folder)) for name in names if not is_hidden(name)]
        if len(found) > MOST_FILES:
            raise UsageError(f"{folder}: holds more than {MOST_FILES:,} files; name the exports one by one")
    for member in sorted(found):
        path = folder / member
        if problem := _unfit(path, root):
            note(f"{path}: {problem} and is left out")
        else:
            yield member


def _unfit(path: Path, root: Path) -> str | None:
    """Why a file in a folder is not read; None if it is."""
    try:
        if path.is_symlink():
            if not Path(os.path.realpath(path)).is_relative_to(root):
                return "is a link that leads out of the folder"
            if not path.exists():
                # An export may be missing. A link into a circle doesn't exist either.
                raise InputError(f"{path}: is a link to nothing; delete it, or put back the file that it names")
        if not stat.S_ISREG(path.stat().st_mode):
            return "is not a regular file"
        if path.suffix.lower() not in SUFFIXES:
            return "is no kind of export"
        with path.open("rb") as file:
            return "was written by an earlier command" if file.read(64).startswith(_OURS) else None
    except OSError as error:
        raise InputError(f"{path}: can't be read: {error.strerror or 'input/output error'}") from error


def _refuse(error: OSError) -> None:
    raise InputError(f"{error.filename}: can't be read: {error.strerror or 'input/output error'}") from error
