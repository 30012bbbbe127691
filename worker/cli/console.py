"""What the commands show: a question, a progress line, a summary."""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from worker.campaigns import Importer
from worker.errors import UsageError

ASK_ABOVE = 1000
"""Jobs that are sent without a question; a typing mistake on more is costly."""

stdout = Console(soft_wrap=True, highlight=False)
stderr = Console(stderr=True, soft_wrap=True, highlight=False)


def is_terminal() -> bool:
    """Whether a person is there to answer a question; what goes to stdout may well go to a file or a program."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def confirm(jobs: int, what: str, *, yes: bool) -> None:
    """Ask a person before many jobs; raises UsageError when the answer is no."""
    if yes or jobs <= ASK_ABOVE or not is_terminal():
        return
    answer = stderr.input(f"{what} up to [bold]{jobs:,}[/] jobs? \\[y/N] ")
    if answer.strip().lower() not in {"y", "yes"}:
        raise UsageError("nothing was done")


class Meter:
    """A line of progress on a terminal: done, rate, time left, counts. Elsewhere silent."""

    def __init__(self, total: int | None) -> None:
        self._progress = Progress(
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]:.1f}/s"),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.fields[counts]}"),
            console=stderr,
            transient=True,
            disable=not stderr.is_terminal,
        )
        self._task: TaskID = self._progress.add_task("", total=total, rate=0.0, counts="")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, done: int, rate: float, counts: Mapping[Any, int]) -> None:
        """Update the line."""
        text = "  ".join(f"{name} {number:,}" for name, number in counts.items() if number)
        self._progress.update(self._task, completed=done, rate=rate, counts=text)


def summary(rows: list[tuple[str, str]], data: Mapping[str, Any], *, as_json: bool) -> None:
    """Print the end of a command, as lines of name and value or as one JSON object."""
    if as_json:
        print(json.dumps(data))  # noqa: T201 - data for another program, not for a person's eyes
        return
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        stdout.print(f"{name:<{width}}  {value}", markup=False)


def table(headings: Sequence[str], rows: Sequence[Sequence[str]], *, texts: int) -> None:
    """Print columns; the first ``texts`` to the left, numbers to the right. Nothing is cut, however narrow it is."""
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
    for row in (headings, *rows):
        cells = [
            cell.ljust(width) if number < texts else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        stdout.print("  ".join(cells).rstrip(), markup=False)


def import_rows(importer: Importer) -> list[tuple[str, str]]:
    """What became of the exports' rows, for a summary."""
    rows = [("rows read", f"{importer.rows:,}")]
    if importer.finished:
        rows.append(("finished before", f"{importer.finished:,}"))
    if importer.rejected:
        # Not "rejected": that is what Refer2 does to a job.
        rows.append(("left out", f"{importer.rejected.total():,}"))
    for reason, number in importer.rejected.most_common():
        rows.append((f"  {reason}", f"{number:,}"))
    if importer.reject_files:
        rows.append(("left out rows in", ", ".join(str(path) for path in importer.reject_files)))
    return rows


def warn(importer: Importer) -> None:
    """Print what the importer noticed."""
    for text in importer.warnings:
        stderr.print(f"note: {text}", markup=False)


def say(text: str) -> None:
    """Print a line that explains how a command ended, after its summary."""
    stderr.print(f"referrals: {text}", markup=False)
