"""What a journal says of earlier runs, for a command that changes nothing."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from worker.embedded.journal_lines import parsed
from worker.errors import InputError
from worker.model.result import UNCALLED
from worker.text.bounds import RESULT_LINE


def lines_of(journal: Path) -> Iterator[dict[str, Any]]:
    """The journal's lines up to the first that is not whole: another run may be writing it. Reads it as it goes.

    Raises:
      InputError: it can't be read.
    """
    try:
        with journal.open("rb") as file:
            for raw in iter(lambda: file.readline(RESULT_LINE.size), b""):
                line = parsed(raw)
                if line is None:
                    return
                yield line
    except OSError as error:
        raise InputError(f"{journal}: can't be read: {error.strerror}; choose another --out") from error


def finished_in(journal: Path) -> Iterator[str]:
    """The ids of the jobs that have a result which stays; an end without a call is tried again.

    Raises:
      InputError: as :func:`lines_of`.
    """
    for line in lines_of(journal):
        if line["event"] == "result" and line["result"].get("outcome") not in UNCALLED:
            yield line["result"]["job_id"]
