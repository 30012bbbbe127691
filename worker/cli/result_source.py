"""Opens what a command reads results from: the files of --from."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from worker.cli import console
from worker.errors import UsageError
from worker.results.source import FileSource, ResultSource


@contextmanager
def opened(files: Sequence[Path] | None) -> Iterator[ResultSource]:
    """The results that the options name, closed at the end of the ``with``.

    Raises:
      UsageError: no option names any, or a file is no results file.
      InputError: a file can't be read.
    """
    if not files:
        raise UsageError("nothing says where the results are: give --from RESULTS, a file that collect or run wrote")
    source = FileSource(files, console.note)
    try:
        yield source
    finally:
        source.close()
