"""``referrals plan``: what a campaign would come to; nothing is sent."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from worker.cli import console, options
from worker.instants import SECOND, from_datetime
from worker.planning.circumstances import CALL, Workers


def plan(
    exports: options.Exports,
    campaign: options.Campaign,
    shop: options.Shop = None,
    channel: options.Channel = None,
    mapping: options.Map = None,
    consent: options.Consent = None,
    preset: options.Preset = None,
    ignore_consent: options.IgnoreConsent = False,
    encoding: options.Encoding = None,
    rejects: Annotated[
        Path | None,
        typer.Option(
            "--rejects",
            metavar="FILE",
            help="File for the rows that can't become a job. [default: none is written]",
            show_default=False,
        ),
    ] = None,
    max_rejects: options.MaxRejects = None,
    limit: options.Limit = None,
    expires: options.Expires = None,
    window: options.Window = None,
    first: options.First = None,
    not_before: options.NotBefore = None,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers",
            min=1,
            max=1000,
            help="Worker processes to count with. [default: those that RabbitMQ sees; without it, `referrals run`]",
            show_default=False,
        ),
    ] = None,
    threads: Annotated[
        int, typer.Option("--threads", min=1, max=500, help="Threads of each process to count with.")
    ] = 16,
    call_seconds: Annotated[
        float,
        typer.Option("--call-seconds", min=0.001, max=60.0, help="How long a call takes on average, to count with."),
    ] = CALL / SECOND,
    match: options.Match = False,
    as_json: options.Json = False,
) -> None:
    """Show what a campaign would come to: its jobs, the rows left out, and when it would be done. Sends nothing.

    The exports are read as `referrals publish` and `referrals run` read them. Of each reason the first three rows are
    shown by their lines; a file of all rows that are left out is written only if --rejects names it.

    How long it takes is simulated with the shops' limits. If RabbitMQ or a store is configured, the plan is for
    workers, and knows the jobs that are queued before, the calls made today, pauses and limits; a line says what could
    not be asked. Otherwise it is for `referrals run` with --wait, and knows no earlier calls. Exit code 1: more rows
    are left out than --max-rejects allows.

    A pace that `referrals campaigns pace` has ordered for the campaign counts, and so does a pause. With --first the
    plan says when the first jobs are done, and how long the others take once they are released; with --not-before it
    begins then. Both are for workers. The hours in which --window or the shop's own window is closed are counted.

    With --match each shop's list is read once from the shop's `base_url`, which may take minutes for a million
    customers, and nothing but keyed hashes of it is held until the command ends. A job whose ids are all one customer's
    counts as `sent`; whether the shop's own rules reject it, only a call can tell. It needs a shop token that may read
    the list.

    Example: `referrals plan spring.csv --shop acme --campaign spring --channel whatsapp`
    """
    from worker.campaigns.containers.expand import expand
    from worker.cli.cancelled import refuse_cancelled
    from worker.cli.holding_back import check_held_back
    from worker.cli.plan.making import Campaign, make_plan
    from worker.cli.plan.most_rejects import check_most, refuse_more
    from worker.cli.plan.outlook import is_distributed, outlook, outlook_of_run
    from worker.cli.plan.predicting import predicting, say_doubts
    from worker.cli.plan.showing import show_plan
    from worker.cli.settings import load
    from worker.cli.shop_hours import check_window
    from worker.cli.shop_lookup import shop_of
    from worker.cli.times import after
    from worker.shops.file import listed_shops

    check_most(max_rejects)
    loaded = load()
    listed = listed_shops(loaded.shops)
    if shop is not None:
        shop_of(shop, listed, loaded)
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
    check_window(import_options, listed.get(shop or ""))
    now = datetime.now(UTC)
    starts = after(not_before, "--not-before", now) if not_before is not None else None
    check_held_back(loaded, first, starts, expires=import_options.not_after, now=now)
    distributed = is_distributed(loaded) or any(given is not None for given in (workers, first, starts))
    if distributed:
        refuse_cancelled(loaded, campaign, shop)
    with predicting(loaded, match=match) as predictor:
        made, importer = make_plan(
            Campaign(
                expand(exports, console.note),
                import_options,
                listed,
                (lambda shops: outlook(loaded, listed, shops, campaign))
                if distributed
                else (lambda shops: outlook_of_run(listed, shops, None)),
                Workers(threads=threads, prefetch=loaded.prefetch, call=round(call_seconds * SECOND)),
                processes=workers,
                ledger=loaded if distributed else None,
                in_one_process=not distributed,
                first=first,
                starts_at=from_datetime(starts) if starts is not None else 0,
            ),
            predictor,
        )
    console.warn(importer)
    say_doubts(predictor)
    show_plan(made, importer, as_json=as_json)
    refuse_more(max_rejects, made.rejected.total(), made.rows)
