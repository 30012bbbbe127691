"""``referrals dead drop``: dead letters are removed for good."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Annotated

import typer

from worker.cli import console, options, orders
from worker.cli.dead.selection import Selection, selecting
from worker.errors import StoreError, UsageError

if TYPE_CHECKING:
    from worker.rabbitmq.connection import Parameters


@selecting()
def drop(
    selection: Selection,
    every: Annotated[bool, typer.Option("--all", help="All letters.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
    because: orders.Because = None,
    author: orders.As = None,
    as_json: options.Json = False,
) -> None:
    """Remove letters for good. No copy is kept: `referrals dead show --reveal --json` can write them down first.

    Exit code 1: some of the ids belong to no letter. Exit code 2: none of them does. Other options may match nothing:
    then there is nothing to remove, and the exit code is 0.

    Example: `referrals dead drop --reason undecodable --older-than 30d`
    """
    from worker.cli.dead.queue import batches, connection, names_of, recorded, removed, report_unfound, require_choice
    from worker.cli.settings import load
    from worker.cli.store import say_uncounted
    from worker.rabbitmq.dead_queue import DeadQueue
    from worker.store.counters import tally

    require_choice(selection, every=every)
    given = orders.origin(author, because, option="--because")
    loaded = load()
    params = connection(loaded)
    most = None if yes else _confirm(selection, params)
    dropped = 0
    met: set[str | None] = set()
    uncounted: StoreError | None = None
    with DeadQueue(params) as queue, recorded(loaded, "dead drop", given, selection, lambda: dropped):
        # Only as many as the person agreed to. Letters that died since the question stand behind those in the queue.
        chosen = islice(filter(selection.matches, queue.letters()), most)
        for batch in batches(chosen):
            met |= names_of(batch)
            queue.remove(batch)
            uncounted = tally(loaded, removed(batch)) or uncounted
            dropped += len(batch)
    console.summary([("dropped", f"{dropped:,}")], {"dropped": dropped}, as_json=as_json)
    say_uncounted(uncounted)
    if report_unfound(selection, met):
        raise typer.Exit(1)


def _confirm(selection: Selection, params: Parameters) -> int:
    # How many letters the person agreed to remove.
    from worker.rabbitmq.dead_queue import DeadQueue

    if not console.is_terminal():
        raise UsageError("drop removes letters for good; without a terminal to ask, give --yes")
    with DeadQueue(params) as queue:
        count = sum(1 for _ in filter(selection.matches, queue.letters()))
    if not count:
        return 0
    console.ask(f"Drop {count:,} dead letters for good?")
    return count
