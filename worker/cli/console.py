"""What the commands show a person: questions, tables and summaries. Used by the main thread."""

import sys
from collections.abc import Collection, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from worker.errors import UsageError
from worker.text.visible import one_line, to_json

if TYPE_CHECKING:
    from rich.console import Console

    from worker.campaigns.importer import Importer
    from worker.cli.tables import Row

ASK_ABOVE = 1000
"""Jobs that are sent without a question. With more, a typing mistake is costly."""

LONGEST_NAME = 30
"""Longest name in a summary that the values are aligned with; a longer name's value follows it directly. One code has
57 characters: aligned with it, every line would wrap on a terminal of 80 columns."""


@cache
def stdout() -> "Console":
    """Standard output. What is printed there is the command's result."""
    return _console(stderr=False)


@cache
def stderr() -> "Console":
    """Standard error, for whatever is no result."""
    return _console(stderr=True)


def _console(*, stderr: bool) -> "Console":
    # Imported when used: --help needs none of it.
    from rich.console import Console

    # Texts from outside are printed as they are: rich would take `[…]` for markup and `:smile:` for an emoji.
    return Console(stderr=stderr, soft_wrap=True, highlight=False, markup=False, emoji=False)


def is_terminal() -> bool:
    """Whether a person can answer a question. Stdout doesn't matter: it may well go to a file."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def confirm(jobs: int, what: str, *, yes: bool, above: int = ASK_ABOVE) -> None:
    """Ask a person before more jobs than ``above`` are sent. Blocks until the person answers.

    Raises:
      UsageError: the answer is no.
    """
    if yes or jobs <= above or not is_terminal():
        return
    ask(f"{what} up to {jobs:,} jobs?")


def ask(question: str) -> None:
    """Ask a person on a terminal whether to go on. Blocks until the person answers.

    Raises:
      UsageError: the answer is no, or none: Ctrl-C, the terminal is gone, or what was typed is no text.
    """
    try:
        answer = stderr().input(f"{question} [y/N] ", markup=False)
    except (EOFError, KeyboardInterrupt, UnicodeDecodeError):
        stderr().print()
        answer = ""
    if answer.strip().lower() not in {"y", "yes"}:
        raise UsageError("nothing was done")


def show(line: str) -> None:
    """Print a line for a person; what could steer a terminal is escaped."""
    stdout().print(one_line(line))


def print_json(data: Any) -> None:
    """Print data for another program."""
    print(to_json(data), flush=True)  # noqa: T201 - not for a person's eyes


def ask_about(line: str) -> None:
    """Print a line that a question follows: on stderr, as the question is, since stdout may go to a file."""
    stderr().print(one_line(line))


def note(text: str) -> None:
    """Print what a person should know but need not act on."""
    stderr().print(one_line(f"note: {text}"))


def summary(rows: list[tuple[str, str]], data: Mapping[str, Any], *, as_json: bool) -> None:
    """Print a command's result: lines of name and value, or one JSON object."""
    if as_json:
        print_json(data)
        return
    # Values are aligned, since people compare them; see LONGEST_NAME for the exception.
    width = max((len(name) for name, _ in rows if len(name) <= LONGEST_NAME), default=0)
    for name, value in rows:
        show(f"{name:<{width}}  {value}")


def width() -> int | None:
    """Columns of the terminal that stdout is; None if it is not a terminal."""
    return stdout().width if stdout().is_terminal else None


def table(headings: Sequence[str], rows: "Sequence[Row]", *, texts: int) -> None:
    """Print columns, as :func:`worker.cli.tables.columns` makes them."""
    from worker.cli.tables import columns

    for line in columns(headings, rows, texts=texts, width=width()):
        show(line)


def import_rows(importer: "Importer") -> list[tuple[str, str]]:
    """What became of the rows of the exports, for a summary."""
    rows = [("rows read", f"{importer.rows:,}")]
    if importer.untold:
        # In every summary, since whoever reads it must know that nobody looked at the consent of these rows.
        rows.append(("consent ignored", f"--ignore-consent, for {_few(importer.untold)}"))
    if importer.suppressed:
        rows.append(("on suppression lists", f"{importer.suppressed:,}"))
    if importer.finished:
        rows.append(("done in an earlier run", f"{importer.finished:,}"))
    if importer.rejected:
        # Not "rejected", which is what Refer2 does to a job.
        rows.append(("left out", f"{importer.rejected.total():,}"))
    for reason, number in importer.rejected.most_common():
        rows.append((f"  {reason}", f"{number:,}"))
    if importer.reject_files:
        rows.append(("rows left out are in", ", ".join(str(path) for path in importer.reject_files)))
    return rows


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{', '.join(names[:3])}{more}"


def warn(importer: "Importer", shown: Collection[str] = ()) -> Collection[str]:
    """Print the importer's warnings that have not been ``shown`` yet; returns all that have been shown now."""
    for text in importer.warnings:
        if text not in shown:
            note(text)
    return {*shown, *importer.warnings}


def say(text: str) -> None:
    """Print a line that explains how a command ended; it follows the summary."""
    stderr().print(one_line(f"referrals: {text}"))
