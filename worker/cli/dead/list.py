"""``referrals dead list``: the letters in the dead queue, one row each."""

from collections import Counter
from typing import Annotated, Any

import typer

from worker.cli import console, options
from worker.cli.dead.selection import Selection, selecting


@selecting(by_id=False)
def list_letters(
    selection: Selection,
    limit: Annotated[int, typer.Option("--limit", min=0, help="Show at most this many; all are counted.")] = 100,
    as_json: options.Json = False,
) -> None:
    """List the dead queue, oldest letter first, and count the letters of each reason.

    This removes nothing, but each look counts as a delivery, and RabbitMQ drops a message after 100,000 of them. To
    watch how many letters there are, use RabbitMQ's metrics instead of this command.

    Example: `referrals dead list --reason crash_loop --newer-than 2d`
    """
    from worker.cli.dead.queue import connection
    from worker.cli.dead.view import cell_of, row_of
    from worker.rabbitmq.dead_queue import DeadQueue

    reasons: Counter[str] = Counter()
    rows: list[dict[str, Any]] = []
    with DeadQueue(connection()) as queue:
        for letter in filter(selection.matches, queue.letters()):
            reasons[letter.reason] += 1
            if len(rows) < limit:
                rows.append(row_of(letter))
    if as_json:
        console.print_json({"total": reasons.total(), "reasons": dict(reasons), "letters": rows})
        return
    if rows:
        _print_table(rows)
    counts = ", ".join(f"{number:,} {cell_of(name)}" for name, number in reasons.most_common())
    console.say(f"{reasons.total():,} dead letters{f': {counts}' if counts else ''}")


def _print_table(rows: list[dict[str, Any]]) -> None:
    from worker.cli.dead.view import COLUMNS, cell_of, text_of
    from worker.cli.tables import Row, columns

    names = list(COLUMNS)
    table = [Row([cell_of(text_of(row, name)) for name in names]) for row in rows]
    width = console.width()
    if width is not None and max(map(len, columns(names, table, texts=len(names)))) > width:
        # On a narrow terminal the job id goes first: `dead show` has it, and the letter's id selects as well.
        names.remove("job_id")
        table = [Row(row.cells[: len(names)]) for row in table]
    console.table([name.replace("_", " ") for name in names], table, texts=len(names))
