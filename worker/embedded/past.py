"""What earlier runs left at a run's files, for a command that changes nothing."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from worker.campaigns.target import CalledBefore, Target
from worker.embedded.journal_lines import damage, is_unwritten, parsed, refuse_foreign
from worker.errors import InputError, UsageError
from worker.model.outcomes import UNCALLED
from worker.private_files import is_own_file, open_problem
from worker.text.bounds import RESULT_LINE


def check_results(out: Path, journal: Path) -> None:
    """Check that the results may be written to this file: it is new, or of a run that can be continued.

    Raises:
      UsageError: it isn't, or :func:`~worker.private_files.private_opener` would refuse it.
    """
    # Checked before anything is written. Other problems of the path are reported when the journal is opened.
    with suppress(OSError):
        is_own_file(out)
    if out.is_file() and out.stat().st_size and not journal.exists():
        raise UsageError(
            f"{out}: exists, but there is no {journal.name} of a run to continue; choose another --out or move the file"
        )


def finished_in(out: Path, journal: Path, campaign: str, target: Target) -> Iterator[str]:
    """The ids of the jobs that have a result which stays; an end without a call is tried again.

    The files are checked first, when the first id is asked for, as a run checks them.

    Raises:
      UsageError: a run would refuse the results or the journal.
      InputError: as :func:`lines_of`.
    """
    check_results(out, journal)
    try:
        # A folder is left to the opening, whose error says what it is.
        if not journal.is_dir() and not is_own_file(journal):
            return
        with journal.open("rb") as file:
            first = file.readline(65_536)
    except OSError as error:
        raise _unreadable(journal, error) from error
    if is_unwritten(first, campaign):
        return
    refuse_foreign(journal, first, campaign)
    results = (line["result"] for line in lines_of(journal) if line["event"] == "result")
    headers = (line for line in lines_of(journal) if line["event"] == "campaign")
    CalledBefore(journal, headers, results).refuse_other(target)
    for line in lines_of(journal):
        if line["event"] == "result" and line["result"].get("outcome") not in UNCALLED:
            yield line["result"]["job_id"]


def lines_of(journal: Path) -> Iterator[dict[str, Any]]:
    """The journal's lines, none if there is no such file. Reads it as it goes.

    Half a line at its end is none: another run may be writing it.

    Raises:
      InputError: it can't be read, or a line is damaged.
    """
    try:
        with journal.open("rb") as file:
            for number, raw in enumerate(iter(lambda: file.readline(RESULT_LINE.size), b""), start=1):
                line = parsed(raw)
                if line is None:
                    if not raw.endswith(b"\n") and not file.read(1):
                        return
                    raise InputError(damage(journal, number))
                yield line
    except FileNotFoundError:
        return
    except OSError as error:
        raise _unreadable(journal, error) from error


def _unreadable(journal: Path, error: OSError) -> InputError:
    return InputError(f"{open_problem(journal, error)}; choose another --out")
