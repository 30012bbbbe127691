"""``referrals forget``: a person is called no more, and what is known of her address is erased where it can be."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from worker.cli import console, options, orders
from worker.errors import UsageError

if TYPE_CHECKING:
    from worker.model.lanes import Lane
    from worker.results.mentions import Mentions
    from worker.settings import Settings
    from worker.store.counters import Counts


def forget(
    address: Annotated[
        str,
        typer.Argument(
            metavar="ADDRESS",
            help="The address; - reads it from standard input, which no shell's history keeps.",
            show_default=False,
        ),
    ],
    folders: Annotated[
        list[Path] | None,
        typer.Option(
            "--in",
            metavar="PATH",
            help="Folder or file to look for the address in; nothing is changed there. [default: this folder]",
            show_default=False,
        ),
    ] = None,
    postgres: Annotated[
        str | None,
        typer.Option(
            "--postgres",
            metavar="URL",
            help="PostgreSQL that `referrals collect` filled, to erase her results from; a password belongs into the "
            "environment. [default: REFERRALS_POSTGRES_URL]",
            show_default=False,
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
    reason: orders.Reason = None,
    author: orders.As = None,
    as_json: options.Json = False,
) -> None:
    """Forget a person: suppress her address in every shop, and erase whatever has it in any field.

    Jobs and results that have it, as customer, destination, sender, reference or within another text, are taken out of
    the queues of the shops in the shops file with their lanes, the delay queues, the dead queue and the results that
    wait; and out of PostgreSQL, where REFERRALS_POSTGRES_URL or --postgres names one. Where more than 5,000 jobs or
    results wait that workers or collectors are taking, that queue is named and left alone. Her jobs there end as
    `cancelled` without a call, with a result that has the address: give this command again once they are through.

    Those that wait in a worker's hand end within two seconds, for which the command waits before it looks through the
    results. A call that is under way ends as it ends, and another's job in hand that mentions her stays.

    Files are not changed. Those that have the address are listed with their age, and so are packed ones and those that
    can't be read. What is kept is a hash by REFERRALS_SUPPRESSION_KEY, which keeps her from being called; `referrals
    log` doesn't have the address either.

    Example: `referrals forget - --in /var/lib/referrals --reason "her letter of May 2"`
    """
    from worker.cli.database import location
    from worker.cli.find import typed
    from worker.cli.remains import remains
    from worker.cli.settings import load
    from worker.cli.store import say_uncounted
    from worker.cli.suppress.lists import opened, require_key
    from worker.model.addresses import normalized_email
    from worker.model.controls import EVERY_SHOP
    from worker.results.mentions import Mentions
    from worker.store.counters import tally

    given = orders.origin(author, reason)
    text = (typed("Whose address:") if address == "-" else address).strip()
    if normalized_email(text) is None:
        raise UsageError("ADDRESS: is no e-mail address")
    loaded = load()
    key = require_key(loaded)
    where = location(postgres, loaded)
    if not yes:
        if not console.is_terminal():
            raise UsageError("forget erases for good; without a terminal to ask, give --yes")
        console.ask("Erase this address for good?")
    who = Mentions(text)
    with opened(loaded, "forget") as (store, lists):
        lists.change("add", EVERY_SHOP, [key.hashed(text)])
        # No address and no count by shop: this is kept for a year.
        store.record("forget", given, shop=EVERY_SHOP, detail="1 address")
    taken, counts, long = _taken(loaded, who)
    uncounted = tally(loaded, counts)
    erased = None
    if where is not None:
        from worker.results.postgres.erasure import erase

        erased = erase(where, who)
    left = list(remains(folders or [Path()], who.needles or [text.lower().encode()]))
    data: dict[str, Any] = {
        "suppressed": True,
        "taken_out": dict(taken),
        "too_long": long,
        "erased_results": erased,
        "files": [{"path": str(file.path), "days": file.days, "because": file.kind} for file in left],
    }
    rows = [("suppressed", "in every shop")]
    rows += [(f"taken out of {queue}", f"{number:,}") for queue, number in taken.items()]
    rows.append(("erased in PostgreSQL", "no database is named" if erased is None else f"{erased:,}"))
    console.summary(rows, data, as_json=as_json)
    say_uncounted(uncounted)
    for queue, ready in long.items():
        console.say(f"{queue}: {ready:,} messages wait, too many to look through; forget again once they are fewer")
    for file in left:
        console.say(f"{file.path}: {file.kind}, and was written {file.days:,} days ago")
    console.say(
        "not looked at: calls that were under way, so forget again in a minute; jobs in workers' hands that have the "
        "address elsewhere than as customer or destination, up to 16 of a held campaign, a shop and a process until it "
        "is released; results that a collector has; queues of shops that the shops file doesn't name; backups. "
        "docs/retention.md says how long each keeps an address"
    )


ENDED_WITHIN_SECONDS = 2
"""A worker hears of the suppressed address within a second, looks up what it has in hand, and ends it at once."""

MOST_LOOKED_THROUGH = 5_000
"""Messages of a queue that is being worked off; more would keep it from workers for too long."""


def _taken(loaded: Settings, who: Mentions) -> tuple[Counter[str], Counts, dict[str, int]]:
    """Take the messages that mention a person out of all queues.

    Returns how many of each, and of each campaign, and the queues that are too long, with their messages.
    """
    from worker.cli.dead.queue import batches, removed
    from worker.cli.suppress.lists import connection
    from worker.errors import DeadLetterError
    from worker.model.lanes import PACED_LANES
    from worker.model.message import parse_message
    from worker.rabbitmq.dead_queue import DeadQueue
    from worker.rabbitmq.queue_inspection import queue_length
    from worker.rabbitmq.queue_sweep import sweep
    from worker.rabbitmq.topology import DEAD, DELAY_PREFIX, DELAYS, RESULTS, shop_queue
    from worker.shops.file import readable_shops

    shops = readable_shops(loaded.shops)
    # In the direction in which jobs travel, so that none passes by: a suppressed one is delayed no more.
    lanes: tuple[Lane, ...] = ("urgent", "bulk", *PACED_LANES, "held")
    queues = [f"{DELAY_PREFIX}{seconds}" for seconds in DELAYS]
    queues += [shop_queue(shop, lane) for shop in (*shops.shops, *shops.others) for lane in lanes]
    params = connection(loaded)
    moving = {RESULTS, *(shop_queue(shop, lane) for shop in (*shops.shops, *shops.others) for lane in lanes[:-1])}
    long = {queue: ready for queue in sorted(moving) if (ready := queue_length(params, queue)) > MOST_LOOKED_THROUGH}
    taken: Counter[str] = Counter()
    counts: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for queue in (queue for queue in queues if queue not in long):
        for body in sweep(params, queue, who.body):
            taken[queue] += 1
            with suppress(DeadLetterError):
                job = parse_message(body)
                # As a dead letter that is dropped: the job has ended, and is no longer there.
                counts[job.shop, job.campaign].update({"dead": 1, "removed": 1})
    with DeadQueue(params) as dead:
        for batch in batches(letter for letter in dead.letters() if who.body(letter.body)):
            dead.remove(batch)
            taken[DEAD] += len(batch)
            for campaign, counted in removed(batch).items():
                counts[campaign].update(counted)
    # Her jobs that workers had in hand end meanwhile, with results.
    time.sleep(ENDED_WITHIN_SECONDS)
    if RESULTS not in long and (results := len(sweep(params, RESULTS, who.body))):
        taken[RESULTS] = results
    return taken, counts, long
