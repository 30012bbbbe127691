"""``referrals dead show``: whole letters, with body and headers."""

from itertools import islice
from typing import Annotated

import typer

from worker.cli import console, options
from worker.cli.dead.selection import Selection, selecting
from worker.errors import UsageError


@selecting()
def show(
    selection: Selection,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Show at most this many.")] = 10,
    reveal: Annotated[bool, typer.Option("--reveal", help="Show addresses and the unchanged body.")] = False,
    as_json: options.Json = False,
) -> None:
    """Show whole letters: body and headers. Addresses are masked unless --reveal is given.

    Example: `referrals dead show 5387ccdbdebf --reveal`
    """
    from worker.cli.dead.queue import NO_MATCH, connection
    from worker.cli.dead.view import print_whole, whole_of
    from worker.rabbitmq.dead_queue import DeadQueue

    with DeadQueue(connection()) as queue:
        chosen = islice(filter(selection.matches, queue.letters()), limit)
        shown = [whole_of(letter, reveal=reveal) for letter in chosen]
    if as_json:
        console.print_json(shown)
    else:
        for number, letter in enumerate(shown):
            print_whole(letter, first=number == 0)
    # After the output: `--json` prints an empty list for a program, and the exit code says that nothing matched.
    if not shown:
        raise UsageError(NO_MATCH)
