"""From the arguments of a command to the exports that they hold."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from worker.campaigns.containers.base import ExportFile
from worker.campaigns.containers.folder import files_in
from worker.campaigns.containers.plain import PlainFile
from worker.errors import InputError


def expand(arguments: Sequence[Path], note: Callable[[str], None]) -> Sequence[ExportFile]:
    """The exports of a command, in the order of its arguments; ``note`` is told what is left out, in one line each.

    Raises:
      InputError: something can't be read, or an argument holds no export.
      UsageError: a folder holds too many files.
    """
    return [file for argument in arguments for file in _expand(argument, note)]


def _expand(argument: Path, note: Callable[[str], None]) -> Iterator[ExportFile]:
    if not argument.is_dir():
        yield PlainFile(argument)
        return
    empty = True
    for member in files_in(argument, note):
        empty = False
        yield PlainFile(argument, member)
    if empty:
        raise InputError(f"{argument}: holds no export")
