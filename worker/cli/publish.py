"""``referrals publish``: puts a campaign's jobs into RabbitMQ."""

import os
import time
from collections.abc import Collection
from contextlib import nullcontext
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from worker.cli import console, options, orders
from worker.planning.circumstances import Workers

if TYPE_CHECKING:
    from worker.cli.plan.outlook import Outlook

TICK_JOBS = 500
"""Jobs between two updates of the line of progress."""

_AHEAD = 10_000
"""Jobs that are read ahead, so that those of one customer go far apart. A customer has 200 calls a day at two a second:
fifty such customers keep a shop at its 100 a second. Shops need not be mixed, since workers take them by turns."""


def publish(
    exports: options.Exports,
    campaign: options.Campaign,
    shop: options.Shop = None,
    channel: options.Channel = None,
    mapping: options.Map = None,
    consent: options.Consent = None,
    preset: options.Preset = None,
    ignore_consent: options.IgnoreConsent = False,
    encoding: options.Encoding = None,
    rejects: options.Rejects = None,
    max_rejects: options.MaxRejects = None,
    limit: options.Limit = None,
    expires: options.Expires = None,
    window: options.Window = None,
    urgent: options.Urgent = False,
    first: options.First = None,
    not_before: options.NotBefore = None,
    brake: options.Brake = None,
    no_brake: options.NoBrake = False,
    reason: orders.Reason = None,
    author: orders.As = None,
    dry_run: options.DryRun = False,
    match: options.Match = False,
    yes: options.Yes = False,
    as_json: options.Json = False,
) -> None:
    """Publish a campaign as jobs, each confirmed by RabbitMQ. Workers then call Refer2 for them.

    Publishing an export twice is safe: the same row of the same campaign is one job, and a job that has its answer is
    not called again. With `REFERRALS_REDIS_URL` the summary says how many jobs were answered before, and how many had
    ended without a call; those are called now if possible. Give the same `--window` and `--expires` again, since each
    copy of a job keeps to its own: one without hours goes at once. A duration of `--expires` starts with the command;
    the summary says how many jobs were past their deadline when they were published.

    With --urgent the jobs go before all others of their shops: see docs/urgent.md.

    A campaign of more than 1,000 jobs has a brake: once more than half of its last 200 results at a shop are rejected
    or failed, no call of it starts there until `referrals campaigns resume`. --brake gives another one, and one to
    smaller campaigns too. Throttles and outages don't count, nor do jobs that end without a call. It needs the workers'
    store.

    The summary says how many jobs are outside of their hours, by --window or the shop's own, and when these begin.

    With --first the rest of the jobs waits until somebody has looked at the first ones, and gives
    `referrals campaigns release`; with --not-before all of them wait, and go by themselves then. Both need the workers'
    store.

    On a terminal, a plan of more than 1,000 jobs is shown before you are asked. With --match it predicts, as
    `referrals plan` does, and you are asked about fewer jobs too; where no plan is shown, --match is refused.

    Example: `referrals publish spring.csv --shop acme --campaign spring --channel whatsapp`
    """
    from worker.campaigns.containers.expand import expand
    from worker.campaigns.dedup import JobIndex
    from worker.campaigns.importer import Importer
    from worker.cli.braking import Braking, chosen_brake
    from worker.cli.cancelled import refuse_cancelled
    from worker.cli.holding_back import check_held_back, holding_back
    from worker.cli.ledger import Ledger
    from worker.cli.meter import Meter
    from worker.cli.plan.first import plan_first
    from worker.cli.plan.making import Campaign
    from worker.cli.plan.most_rejects import check_most
    from worker.cli.plan.predicting import check_match, predicting
    from worker.cli.publishing import counted
    from worker.cli.settings import load
    from worker.cli.shop_hours import Hours, check_window
    from worker.cli.shop_lookup import shop_of
    from worker.cli.store import say_closed_workers
    from worker.cli.times import after, moment
    from worker.cli.urgent import urgent_queues
    from worker.clock import SystemClock
    from worker.instants import from_datetime
    from worker.rabbitmq.connection import parameters
    from worker.rabbitmq.producer import Producer
    from worker.shops.file import listed_shops
    from worker.telemetry.tracing import worker_tracing

    check_most(max_rejects)
    check_match(match=match, dry_run=dry_run, yes=yes)
    loaded = load()
    shops = listed_shops(loaded.shops)
    if shop is not None:
        shop_of(shop, shops, loaded)
    import_options = options.import_options(
        shop=shop,
        campaign=campaign,
        channel=channel,
        mapping=mapping,
        consent=consent,
        preset=preset,
        ignore_consent=ignore_consent,
        encoding=encoding,
        limit=limit,
        rejects=rejects,
        expires=expires,
        window=window,
    )
    refuse_cancelled(loaded, campaign, shop)
    check_window(import_options, shops.get(shop or ""))
    given = orders.origin(author, reason)
    braking = Braking(loaded, "publish", campaign, given, chosen_brake(brake, no_brake=no_brake), shop=shop)
    now = datetime.now(UTC)
    starts = after(not_before, "--not-before", now) if not_before is not None else None
    check_held_back(loaded, first, starts, expires=import_options.not_after, now=now)
    files = expand(exports, console.note)

    def look(slugs: Collection[str]) -> "Outlook":
        # Imported only now, as the forecast is: most publishes ask nobody how the shops stand.
        from worker.cli.plan.outlook import outlook

        return outlook(loaded, shops, slugs, campaign)

    total, shown = plan_first(
        Campaign(
            files,
            import_options,
            shops,
            look,
            Workers(prefetch=loaded.prefetch),
            ledger=loaded,
            first=first,
            starts_at=from_datetime(starts) if starts is not None else 0,
        ),
        "Publish",
        dry_run=dry_run,
        yes=yes,
        max_rejects=max_rejects,
        as_json=as_json,
        prediction=predicting(loaded, match=match),
    )
    clock = SystemClock()
    traces = worker_tracing(os.environ, clock) or nullcontext()
    with JobIndex() as index, urgent_queues(loaded, shops, urgent=urgent) as make, traces as tracing:
        importer = Importer(
            files,
            import_options,
            index=index,
            # The producer dates each as it takes it: the last one may be an hour behind the first.
            published_at=None,
            allowed_shops=shops,
            ahead=_AHEAD,
        )
        # Mistakes in options and headers are found before anything is published.
        importer.check()
        shown = console.warn(importer, shown)
        if total is None and console.is_terminal():
            # Counting reads the exports once more, which only a line of progress is worth.
            total = importer.count()
        began = time.monotonic()
        params = parameters(loaded.amqp_url.get_secret_value(), name="referral-dispatch publish")
        # By the clock of the spans, or a job's `wait` could begin before its `publish`.
        producer = Producer(params, name=loaded.producer, urgent=urgent, prepare=make, clock=clock, tracing=tracing)
        hours = Hours(shops)
        holding = holding_back(loaded, params, campaign, shop, given, first=first, not_before=starts)
        with holding as back, counted(loaded, producer), producer, Ledger(loaded) as ledger, Meter(total) as meter:
            for difference in producer.declare(shops):
                console.note(difference)
            for sent, job in enumerate(braking.ahead_of(ledger.watch(hours.of(importer))), start=1):
                producer.send(job, lane=back.lane_of(sent, job.shop))
                if sent % TICK_JOBS == 0:
                    meter.show(producer.confirmed, producer.confirmed / (time.monotonic() - began), {})
            producer.flush()
    seconds = time.monotonic() - began
    console.warn(importer, shown)
    rows = console.import_rows(importer)
    rows.append(("published", f"{producer.confirmed:,}"))
    if producer.late:
        rows.append(("  past their deadline", f"{producer.late:,} (will end as expired, without a call)"))
    if back.held:
        release = " ".join(["referrals campaigns release", campaign, *(["--shop", shop] if shop else [])])
        until = f"until {moment(from_datetime(starts), seconds=True)}" if starts else f"until `{release}`"
        rows.append(("  held back", f"{back.held:,} ({until})"))
    begins = max(clock.now() + clock.ahead(), from_datetime(starts) if starts is not None else 0)
    rows += hours.rows(begins)
    rows += [*ledger.rows(), *braking.rows()]
    rows.append(("took", f"{seconds:.1f} s, {producer.confirmed / seconds:,.0f} jobs/s"))
    data = {
        "rows": importer.rows,
        "rejected": dict(importer.rejected),
        "consent_ignored": list(importer.untold),
        "published": producer.confirmed,
        "past_deadline": producer.late,
        "held_back": back.held,
        **hours.data(begins),
        "known_before": ledger.data(),
        **braking.data(),
        "seconds": round(seconds, 3),
        "reject_files": [str(path) for path in importer.reject_files],
    }
    console.summary(rows, data, as_json=as_json)
    ledger.say()
    say_closed_workers(loaded)
