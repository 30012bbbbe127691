"""Whether the files of exports are still those that were opened."""

import stat
from collections.abc import Iterable, Mapping
from pathlib import Path

from worker.campaigns.containers.base import ExportFile

_State = tuple[int, int, int, int] | None


class FileStates:
    """The files on disk behind some exports, as they are when this is made. Blocks on the disk.

    Of devices and of files that can't be looked at nothing is known; a pipe was copied, and has no file.
    """

    def __init__(self, files: Iterable[ExportFile]) -> None:
        paths = {file.on_disk for file in files} - {None}
        self._states: Mapping[Path, _State] = {path: found for path in paths if path and (found := _state(path))}

    def changed(self) -> Path | None:
        """A file that was written to, replaced or removed since; None if none was."""
        return next((path for path, state in self._states.items() if _state(path) != state), None)


def _state(path: Path) -> _State:
    try:
        found = path.stat()
    except OSError:
        return None
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns) if stat.S_ISREG(found.st_mode) else None
