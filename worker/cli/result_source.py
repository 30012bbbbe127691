"""Opens what a command reads results from: the files of --from, or the database of --postgres."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from worker.cli import console, database
from worker.cli.database import VARIABLE
from worker.cli.settings import load
from worker.errors import UsageError
from worker.results.source import FileSource, ResultSource


@contextmanager
def opened(files: Sequence[Path] | None, postgres: str | None = None) -> Iterator[ResultSource]:
    """The results that the options name, closed at the end of the ``with``; without any, those of the environment.

    Raises:
      UsageError: nothing names any, or both options do, or a file is no results file.
      InputError: a file can't be read, or the database holds no results.
      DatabaseError, ConfigurationError: the database can't be used.
    """
    source = _source(files, postgres)
    try:
        yield source
    finally:
        source.close()


def _source(files: Sequence[Path] | None, postgres: str | None) -> ResultSource:
    if files:
        if postgres is not None:
            raise UsageError("--from and --postgres: results are read from one of them; leave out the other")
        return FileSource(files, console.note)
    location = database.location(postgres, load())
    if location is None:
        raise UsageError(
            "nothing says where the results are: give --from RESULTS, a file that collect or run wrote, or --postgres "
            "URL, or set REFERRALS_POSTGRES_URL"
        )
    if postgres is None:
        # Whoever set the variable may have been a script, and may have done it long ago.
        console.note(f"reads results from PostgreSQL at {location.place}, since {VARIABLE} is set; --from reads files")
    # psycopg takes 50 ms to import, and most results are in files.
    from worker.results.postgres.source import TableSource

    return TableSource(location)
