"""``referrals replay``: jobs of a campaign are sent again, chosen by how they have ended."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from worker.cli import console, options, orders
from worker.cli.times import after
from worker.errors import UsageError
from worker.model.names import canonical
from worker.model.outcomes import OUTCOMES
from worker.text.near_names import near_names

if TYPE_CHECKING:
    from worker.cli.braking import Braking
    from worker.cli.replay.summary import Summary
    from worker.model.orders import Origin
    from worker.rabbitmq.connection import Parameters
    from worker.results.again import Choice, Chosen
    from worker.settings import Settings

TICK_JOBS = 500
"""Jobs between two updates of the line of progress."""

_MOST_NAMED = 5
"""Codes that are named in place of one that no result has and that is like none of them."""

_CHOOSABLE = tuple(outcome for outcome in OUTCOMES if outcome != "sent")


def replay(
    campaign: options.Campaign,
    files: options.From = None,
    postgres: options.Postgres = None,
    shop: Annotated[str | None, typer.Option("--shop", help="Only this shop's jobs.", show_default=False)] = None,
    outcomes: Annotated[
        list[str] | None,
        typer.Option(
            "--outcome",
            metavar="OUTCOME",
            help=f"Jobs that ended so: {', '.join(_CHOOSABLE)}. May be given several times.",
            show_default=False,
        ),
    ] = None,
    codes: Annotated[
        list[str] | None,
        typer.Option(
            "--code",
            metavar="CODE",
            help="Jobs that ended with this code. May be given several times; with --outcome, both must hold.",
            show_default=False,
        ),
    ] = None,
    limit: options.Limit = None,
    expires: options.Expires = None,
    brake: options.Brake = None,
    no_brake: options.NoBrake = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be sent again.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask. Without a terminal it is needed.")] = False,
    reason: orders.Reason = None,
    author: orders.As = None,
    as_json: options.Json = False,
) -> None:
    """Publish jobs again that were not sent, chosen by outcome or code from their results.

    What would be sent is shown first, and you are asked. Only a job's latest run counts, and a job of which any run
    was sent is left out. A job whose call may have been carried out (`unknown`) is taken only by `--outcome unknown`.

    Each job gets its next run, so it is called although the run before has its answer; one that ended without a call
    (`expired`, `cancelled`) is published as it was. It has no deadline but that of --expires. RabbitMQ confirms each
    job before it counts. Interrupting is safe: run again over the same results, it makes no second call, as long as
    the ledger remembers the job (`REFERRALS_RETENTION_DAYS`).

    More than 1,000 jobs have a brake, as those of `referrals publish` have: --brake gives another one, --no-brake none.
    It counts from nothing. Once it trips, no call of the campaign starts at that shop, whichever run of its jobs it
    would be.

    Example: `referrals replay --campaign spring --from results.csv --outcome failed`
    """
    from worker.cli.braking import Braking, chosen_brake
    from worker.cli.cancelled import refuse_cancelled
    from worker.cli.meter import Meter
    from worker.cli.replay.summary import Summary
    from worker.cli.result_source import opened
    from worker.cli.settings import load
    from worker.cli.store import known_controls
    from worker.clock import SystemClock
    from worker.rabbitmq.connection import parameters
    from worker.results.again import Chosen

    choice = _choice(outcomes or (), codes or ())
    given = orders.origin(author, reason)
    armed = chosen_brake(brake, no_brake=no_brake)
    name = canonical(campaign)
    if name is None:
        raise UsageError("--campaign: is blank; give the name of the campaign whose jobs are sent again")
    not_after = after(expires, "--expires", datetime.now(UTC)) if expires is not None else None
    if not (yes or dry_run or console.is_terminal()):
        raise UsageError("replay sends jobs again; without a terminal to ask, give --yes, or --dry-run to see them")
    loaded = load()
    refuse_cancelled(loaded, name, shop)
    controls = known_controls(loaded)
    now = SystemClock().now()

    def is_cancelled(slug: str) -> bool:
        return controls is not None and controls.is_cancelled(name, slug, now)

    with Chosen(choice, is_cancelled=is_cancelled, limit=limit) as chosen:
        with opened(files, postgres) as source, Meter(None) as meter:
            began = time.monotonic()
            for result in source.results(name, shop):
                chosen.add(result, not_after)
                if chosen.read % TICK_JOBS == 0:
                    meter.show(chosen.read, chosen.read / (time.monotonic() - began), {})
        if not chosen.read:
            where = f" in shop {shop}" if shop is not None else ""
            raise UsageError(f"--campaign {name}: has no result there{where}; is the name right?")
        for line in _absent(codes or (), chosen.codes):
            console.note(line)
        summary = Summary.of(name, chosen)
        if dry_run or not summary.jobs:
            _show(summary, as_json=as_json)
            return
        params = parameters(loaded.amqp_url.get_secret_value(), name="referral-dispatch replay")
        _require_queues(params, summary.shops)
        if not yes:
            for line in summary.lines(console.stderr().width):
                console.ask_about(line)
            console.ask(_question(summary))
        elif summary.rehearsed:
            console.note(summary.rehearsal)
        braking = Braking(loaded, "replay", name, given, armed, shop=shop, anew=True)
        _publish(loaded, params, chosen, summary, given, shop, braking, as_json=as_json)


def _choice(outcomes: Collection[str], codes: Collection[str]) -> Choice:
    from worker.results.again import Choice

    if not outcomes and not codes:
        raise UsageError("choose what is sent again: --outcome failed, or --code with a code of the results")
    for outcome in outcomes:
        if outcome == "sent":
            raise UsageError("--outcome sent: what was sent is never sent again")
        if outcome not in _CHOOSABLE:
            raise UsageError(f"--outcome {outcome}: is none; choose from {', '.join(_CHOOSABLE)}")
    return Choice(frozenset(outcomes), frozenset(codes))


def _absent(codes: Collection[str], present: Counter[str]) -> Iterator[str]:
    """A line for each code that no result has, since it may be mistyped."""
    from worker.results.again import MOST_CODES

    for code in codes:
        if code not in present and len(present) < MOST_CODES:
            near = near_names(code, (each for each, _ in present.most_common()), otherwise=_MOST_NAMED)
            known = f"; there is {' or '.join(near)}" if near else ""
            yield f"--code {code}: no result of the campaign has it{known}"


def _question(summary: Summary) -> str:
    twice = f", {summary.unknown:,} of them perhaps for the second time" if summary.unknown else ""
    rehearsed = f", {summary.rehearsed:,} of them after a rehearsal" if summary.rehearsed else ""
    return f"Send {summary.jobs:,} {'job' if summary.jobs == 1 else 'jobs'} again{twice}{rehearsed}?"


def _show(summary: Summary, *, as_json: bool) -> None:
    if as_json:
        console.print_json(summary.data() | {"published": 0})
        return
    for line in summary.lines(console.width()):
        console.show(line)


def _require_queues(params: Parameters, shops: Collection[str]) -> None:
    from worker.cli.store import some_of
    from worker.rabbitmq.queue_depths import missing
    from worker.rabbitmq.topology import shop_queue

    queues = {shop_queue(shop): shop for shop in sorted(shops)}
    without = [queues[name] for name in missing(params, queues)]
    if without:
        raise UsageError(
            f"no queue takes the jobs of {some_of(without)}: start a worker whose shops file names them, or choose "
            "another shop by --shop; nothing was done"
        )


def _publish(
    loaded: Settings,
    params: Parameters,
    chosen: Chosen,
    summary: Summary,
    given: Origin,
    shop: str | None,
    braking: Braking,
    *,
    as_json: bool,
) -> None:
    from worker.cli.ledger import Ledger
    from worker.cli.meter import Meter
    from worker.cli.publishing import counted
    from worker.cli.shop_hours import Hours
    from worker.clock import SystemClock
    from worker.rabbitmq.producer import Producer
    from worker.shops.file import readable_shops

    began = time.monotonic()
    producer = Producer(params, name=loaded.producer)
    hours = Hours(readable_shops(loaded.shops).shops)
    try:
        with counted(loaded, producer), producer, Ledger(loaded) as ledger, Meter(summary.jobs) as meter:
            jobs = braking.ahead_of(ledger.watch(hours.of(taken.job for taken in chosen.jobs())))
            for sent, job in enumerate(jobs, start=1):
                producer.send(job)
                if sent % TICK_JOBS == 0:
                    meter.show(producer.confirmed, producer.confirmed / (time.monotonic() - began), {})
            producer.flush()
    finally:
        # What RabbitMQ has confirmed will be called, however this ends.
        if producer.confirmed:
            detail = f"{producer.confirmed:,} {'job' if producer.confirmed == 1 else 'jobs'}"
            orders.record(loaded, "replay", given, detail, shop=shop, campaign=summary.campaign)
    rows = [("published", f"{producer.confirmed:,}")]
    rows += [
        (f"  after {outcome} {code or ''}".rstrip(), f"{jobs:,}")
        for (outcome, code), jobs in summary.kinds.most_common()
    ]
    if producer.late:
        rows.append(("  past their deadline", f"{producer.late:,} (will end as expired, without a call)"))
    now = SystemClock().now()
    rows += [*hours.rows(now), *ledger.rows(), *braking.rows()]
    rows += [(f"left out, {why}", f"{jobs:,}") for why, jobs in summary.left.most_common()]
    data = {"published": producer.confirmed, "past_deadline": producer.late, "known_before": ledger.data()}
    console.summary(rows, summary.data() | data | hours.data(now) | braking.data(), as_json=as_json)
    ledger.say()
