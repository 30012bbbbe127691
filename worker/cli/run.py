"""``referrals run``: sends a campaign from one process, without RabbitMQ or a store."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from worker.cli import console, options
from worker.errors import UsageError
from worker.planning.circumstances import Workers

if TYPE_CHECKING:
    from worker.campaigns.containers.base import ExportFile
    from worker.campaigns.dedup import JobIndex
    from worker.campaigns.importer import Importer
    from worker.campaigns.options import ImportOptions
    from worker.embedded.run import EmbeddedRun
    from worker.shops.config import ShopConfig
    from worker.shops.credentials import SigningKey


def run(
    exports: options.Exports,
    campaign: options.Campaign,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FILE",
            help="File for the results, one row per job; FILE.journal is written beside it. Required without "
            "--dry-run.",
            show_default=False,
        ),
    ] = None,
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
    suppress: Annotated[
        list[Path] | None,
        typer.Option(
            "--suppress",
            metavar="FILE",
            help="Call nobody whose address is in this file, as customer or destination; their jobs end as "
            "`cancelled`. Files are those of `referrals suppress add`. May be given several times.",
            show_default=False,
        ),
    ] = None,
    brake: options.Brake = None,
    no_brake: options.NoBrake = False,
    threads: Annotated[int, typer.Option("--threads", min=1, max=500, help="Calls at once.")] = 16,
    wait: Annotated[
        bool,
        typer.Option("--wait", help="Wait until the day's quota resets or a closed shop opens, instead of ending."),
    ] = False,
    sandbox: Annotated[
        bool, typer.Option("--sandbox", help="Call the built-in emulator of Refer2; needs no shops file.")
    ] = False,
    customers: options.Customers = None,
    dry_run: options.DryRun = False,
    match: options.Match = False,
    yes: options.Yes = False,
    as_json: options.Json = False,
) -> None:
    """Send a campaign from this process alone. It needs no RabbitMQ, no store and no other service.

    Ctrl-C lets the calls under way finish. Run the same command again to continue. Exit code 3: some rows are left for
    a later run; the last line says why. On a terminal, a plan of more than 1,000 jobs is shown before you are asked.
    With --match it predicts, as `referrals plan` does, and you are asked about fewer jobs too; where no plan is shown,
    --match is refused. A dry run without --out doesn't know what an earlier run has done. A rehearsal's list is that of
    --customers.

    A campaign of more than 1,000 jobs has a brake, as with `referrals publish`: once more than half of its last 200
    results at a shop are rejected or failed, the rows left of that shop are not called, and the exit code is 1. --brake
    gives another one, and one to smaller campaigns too. The same command goes on, and its brake counts from nothing.

    Example: `referrals run spring.csv --shop acme --campaign spring --channel whatsapp --out results.csv`
    """
    from worker.app import build_embedded
    from worker.campaigns.containers.expand import expand
    from worker.campaigns.importer import Importer
    from worker.campaigns.target import Target
    from worker.cli.braking import chosen_brake
    from worker.cli.meter import Meter
    from worker.cli.outage import Outage, Rest
    from worker.cli.plan.first import plan_first
    from worker.cli.plan.making import Campaign
    from worker.cli.plan.most_rejects import check_most
    from worker.cli.plan.outlook import outlook_of_run
    from worker.cli.plan.predicting import check_match, predicting
    from worker.cli.run_ending import end, summarize
    from worker.cli.settings import load
    from worker.cli.shop_hours import check_window
    from worker.cli.shop_lookup import no_such_shop
    from worker.cli.suppress.reading import suppressed_in
    from worker.clock import SystemClock
    from worker.embedded.past import finished_in
    from worker.embedded.run import EmbeddedRun, journal_of
    from worker.model.rehearsal import SHOP
    from worker.shops.credentials import SigningKey
    from worker.shops.registry import ShopRegistry

    if customers is not None and not sandbox:
        raise UsageError("--customers: are the customers of a rehearsal; give --sandbox with it, or leave it out")
    if match and sandbox and customers is None:
        raise UsageError("--match: a rehearsal has no customer list without --customers; give it, or leave --match out")
    if out is None and not dry_run:
        raise UsageError("--out: needs a file for the results; only --dry-run goes without, as it writes none")
    check_most(max_rejects)
    check_match(match=match, dry_run=dry_run, yes=yes)
    armed = chosen_brake(brake, no_brake=no_brake)
    loaded = load()
    import_options = options.import_options(
        shop=shop or (SHOP if sandbox else None),
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
    files = expand(exports, console.note)
    if out is not None:
        _check_files(files, out, rejects)
    with ExitStack() as stack:
        if sandbox:
            # Imported only now: its HTTP library would make the start of every other run a fifth slower.
            from worker.sandbox.config import SANDBOX_KEY_ID, SANDBOX_SECRET, SandboxConfig
            from worker.sandbox.server import RunningSandbox

            url = stack.enter_context(RunningSandbox(SandboxConfig(customers=customers))).url
            key = SigningKey(SANDBOX_KEY_ID, SANDBOX_SECRET.encode())
            shops = ShopRegistry.of(_sandbox_shop(import_options, url, key))
        else:
            shops = ShopRegistry.load(loaded.shops, plaintext_hosts=loaded.plaintext_hosts)
        if shop is not None and shops.get(shop) is None:
            raise no_such_shop(shop, shops.slugs(), loaded)
        check_window(import_options, shops.get(import_options.shop or ""))

        def importer_of(index: JobIndex) -> Importer:
            return Importer(
                files, import_options, index=index, published_at=datetime.now(UTC), allowed_shops=shops.slugs()
            )

        # Before anybody is asked whether to send: a wrong file would let people be called.
        suppressed = suppressed_in(suppress or [])
        listed = {slug: config for slug in shops.slugs() if (config := shops.get(slug)) is not None}
        journal = journal_of(out) if out is not None else None
        target = Target(sandbox, lambda slug: listed[slug].base_url if slug in listed and not sandbox else None)
        total, shown = plan_first(
            Campaign(
                files,
                import_options,
                listed,
                lambda slugs: outlook_of_run(listed, slugs, journal),
                Workers(threads=threads, prefetch=loaded.prefetch),
                done=finished_in(out, journal, campaign, target) if out is not None and journal is not None else (),
                in_one_process=True,
                waits=wait,
            ),
            "Send",
            dry_run=dry_run,
            yes=yes,
            max_rejects=max_rejects,
            as_json=as_json,
            prediction=predicting(loaded, match=match, shops=listed),
        )
        assert out is not None, "a dry run has ended above"
        if total is None:
            total, shown = _checked(importer_of)
        clock = SystemClock()
        embedded = EmbeddedRun(
            lambda store, state: build_embedded(loaded, shops, store, clock, state, threads, suppressed.key),
            shops,
            importer_of,
            out=out,
            campaign=campaign,
            clock=clock,
            threads=threads,
            patient=wait,
            sandbox=sandbox,
            suppressed=suppressed.hashes,
            brake=armed.brake if armed is not None else None,
            brake_above=armed.above if armed is not None else 0,
        )
        began = time.monotonic()
        outage, rest = Outage(), Rest()
        with _draining(embedded), Meter(total) as meter:

            def tick() -> None:
                tally = embedded.tally
                # The consumer's thread adds to the counts meanwhile, so a copy of them is shown.
                rate = tally.done / max(time.monotonic() - began, 0.001)
                meter.show(tally.earlier + tally.done, rate, tally.outcomes.copy())
                if (line := outage.line(embedded.failing, clock.now())) is not None:
                    console.say(line)
                if (line := rest.line(embedded.resting_until, embedded.resting)) is not None:
                    console.say(line)

            importer = embedded(tick, every=0.2)
    console.warn(importer, shown)
    summarize(importer, embedded.tally, out, sandbox=sandbox, as_json=as_json)
    end(embedded.tally)


def _check_files(exports: Sequence[ExportFile], out: Path, rejects: Path | None) -> None:
    """Check that the results and the journal don't replace a file that the run reads or writes otherwise.

    Raises:
      UsageError: they would.
    """
    from worker.embedded.run import journal_of

    # Resolved, so that a link or another spelling of the path counts as the same file.
    written = {out.resolve(), journal_of(out).resolve()}
    for path in (*(file.on_disk for file in exports), rejects):
        if path is not None and path.resolve() in written:
            raise UsageError(f"{path}: --out would overwrite it; choose another --out")


def _sandbox_shop(import_options: ImportOptions, url: str, key: SigningKey) -> ShopConfig:
    # With the vendor's initial limits, which are the defaults and which the emulator applies too.
    from worker.model.rehearsal import SHOP
    from worker.shops.config import ShopConfig, ShopTable

    try:
        return ShopConfig.of(
            import_options.shop or SHOP,
            key,
            ShopTable(base_url=url),
        )
    except ValueError as error:
        raise UsageError(f"--shop: {error}") from None


def _checked(importer_of: Callable[[JobIndex], Importer]) -> tuple[int | None, Collection[str]]:
    """Check the exports before anything is called. Returns the number of jobs, None without a terminal, and the
    warnings that were shown.
    """
    from worker.campaigns.dedup import JobIndex

    with JobIndex() as index:
        importer = importer_of(index)
        importer.check()
        shown = console.warn(importer)
        return importer.count() if console.is_terminal() else None, shown


@contextmanager
def _draining(embedded: EmbeddedRun) -> Iterator[None]:
    # The first signal drains. A second one ends the process at once, like a kill: the journal says which calls were
    # under way. It must come more than two seconds later, since process groups and terminals deliver one signal twice.
    first: list[float] = []

    def stop(number: int, _frame: object) -> None:
        if not first:
            first.append(time.monotonic())
            embedded.stop()
        elif time.monotonic() > first[0] + 2:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)

    previous = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
