"""``referrals dead replay``: dead letters become jobs again."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Annotated

import typer

from worker.cli import console, options, orders
from worker.cli.dead.selection import Selection, selecting
from worker.cli.times import after
from worker.errors import StoreError

MOST_PROBLEMS = 20
"""Reasons why letters could not be replayed. Each is printed as one line, with the first of its letters."""


@selecting()
def replay(
    selection: Selection,
    every: Annotated[bool, typer.Option("--all", help="All letters.")] = False,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="Replay at most this many.", show_default=False)
    ] = None,
    expires: options.Expires = None,
    because: orders.Because = None,
    author: orders.As = None,
    as_json: options.Json = False,
) -> None:
    """Publish the jobs of letters again as their next run. A letter is removed once RabbitMQ has confirmed its job.

    The new run has its own job id, so it is called even if the old run was answered. Letters stay, with the reason on
    the screen, if they hold no readable job, if their shop has no queue, if their deadline has passed or if their
    campaign is cancelled.

    Results that RabbitMQ dropped from the results queue go back there unchanged, if they are valid. Interrupting is
    safe: a job that is replayed twice is one job.

    Exit code 1: a letter stays, or some of the ids belong to no letter. Exit code 2: no letter matches at all.

    Example: `referrals dead replay --reason unknown_shop --shop acme`
    """
    from worker.cli.dead.queue import batches, connection, names_of, recorded, removed, report_unfound, require_choice
    from worker.cli.dead.republish import publish_anew
    from worker.cli.dead.view import cell_of
    from worker.cli.settings import load
    from worker.cli.store import known_controls, say_uncounted
    from worker.rabbitmq.dead_queue import DeadQueue
    from worker.store.counters import counted, tally

    require_choice(selection, every=every)
    given = orders.origin(author, because, option="--because")
    not_after = after(expires, "--expires", datetime.now(UTC)) if expires is not None else None
    loaded = load()
    params = connection(loaded)
    replayed = 0
    left: list[tuple[str, str]] = []
    met: set[str | None] = set()
    uncounted: StoreError | None = None
    stuck = False
    controls = known_controls(loaded)
    with DeadQueue(params) as queue, recorded(loaded, "dead replay", given, selection, lambda: replayed):
        chosen = islice(filter(selection.matches, queue.letters()), limit)
        for batch in batches(chosen):
            met |= names_of(batch)
            outcome = publish_anew(batch, params, not_after, controls)
            # Each count is written as soon as it is true. So the sums are right even if the command is killed between.
            jobs = (letter.job for letter in outcome.done if letter.job is not None)
            uncounted = tally(loaded, counted(jobs, "published")) or uncounted
            queue.remove(outcome.done)
            uncounted = tally(loaded, removed(outcome.done)) or uncounted
            replayed += len(outcome.done)
            left += [(letter.id, cell_of(problem)) for letter, problem in outcome.left]
            if outcome.stuck:
                # Every further batch would wait for the same time-out.
                console.say("RabbitMQ accepts none of these; the letters after them were not tried")
                stuck = True
                break
    data = {"replayed": replayed, "left": [{"id": name, "problem": problem} for name, problem in left]}
    console.summary([("replayed", f"{replayed:,}"), ("left", f"{len(left):,}")], data, as_json=as_json)
    _report_left(left)
    say_uncounted(uncounted)
    # After a limit or a stop not every letter was looked at, so an id that was not met may still exist.
    unfound = not stuck and replayed + len(left) != limit and report_unfound(selection, met)
    if not met and not selection.is_everything:
        raise typer.Exit(2)
    if left or unfound:
        raise typer.Exit(1)


def _report_left(left: Sequence[tuple[str, str]]) -> None:
    from worker.cli.store import some_of

    names = defaultdict(list)
    for name, problem in left:
        names[problem].append(name)
    for problem, named in islice(names.items(), MOST_PROBLEMS):
        console.say(f"{some_of(named)} can't be replayed: {problem}")
