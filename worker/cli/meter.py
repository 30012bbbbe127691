"""A line of progress on a terminal. Used by the main thread."""

from collections.abc import Mapping
from typing import Any, Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from worker.cli.console import stderr
from worker.telemetry import logs


class Meter:
    """A line of progress on a terminal: done, rate, time left, counts. Without a terminal it prints nothing."""

    def __init__(self, total: int | None) -> None:
        self._progress = Progress(
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]:.1f}/s", markup=False),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.fields[counts]}", markup=False),
            console=stderr(),
            transient=True,
            disable=not stderr().is_terminal,
        )
        self._task: TaskID = self._progress.add_task("", total=total, rate=0.0, counts="")

    def __enter__(self) -> Self:
        self._progress.start()
        # From now on rich stands in for stderr and writes above the line. Log lines must go the same way.
        logs.follow_stderr()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()
        logs.follow_stderr()

    def show(self, done: int, rate: float, counts: Mapping[Any, int]) -> None:
        """Update the line."""
        text = "  ".join(f"{name} {number:,}" for name, number in counts.items() if number)
        self._progress.update(self._task, completed=done, rate=rate, counts=text)
