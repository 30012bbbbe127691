"""``referrals run``: a campaign in one process."""

import signal
import time
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from worker.app import build_embedded
from worker.campaigns.dedup import JobIndex
from worker.campaigns.importer import Importer
from worker.campaigns.options import ImportOptions
from worker.cli import console, options
from worker.cli.settings import load
from worker.cli.store import no_such_shop
from worker.clock import SystemClock
from worker.embedded.run import EmbeddedRun, Tally, journal_of
from worker.errors import UsageError
from worker.instants import SECOND, to_datetime
from worker.model.rehearsal import SHOP
from worker.shops.config import ShopConfig, ShopTable
from worker.shops.credentials import SigningKey
from worker.shops.registry import ShopRegistry

MINUTE = 60 * SECOND

LEFT_FOR_LATER = 3
"""Exit code of a run that ended well and left rows for a later one."""


def run(
    exports: options.Exports,
    campaign: options.Campaign,
    out: Annotated[
        Path,
        typer.Option(
            "--out", metavar="FILE", help="File for the results, one row per job; FILE.journal is written beside it."
        ),
    ],
    shop: options.Shop = None,
    channel: options.Channel = None,
    mapping: options.Map = None,
    consent: options.Consent = None,
    encoding: options.Encoding = None,
    rejects: options.Rejects = None,
    limit: options.Limit = None,
    expires: options.Expires = None,
    threads: Annotated[int, typer.Option("--threads", min=1, max=500, help="Calls at once.")] = 16,
    wait: Annotated[
        bool,
        typer.Option("--wait", help="Wait until the day's quota resets or a closed shop opens, instead of ending."),
    ] = False,
    sandbox: Annotated[
        bool, typer.Option("--sandbox", help="Call the built-in emulator of Refer2; needs no shops file.")
    ] = False,
    yes: options.Yes = False,
    as_json: options.Json = False,
) -> None:
    """Send a campaign from this process alone: no broker, no store, nothing to install.

    Ctrl-C lets the calls under way finish; run it again and it goes on where it was. Exit code 3: some rows are left
    for a later run, and the last line says why.

    Example: `referrals run spring.csv --shop acme --campaign spring --channel whatsapp --out results.csv`
    """
    loaded = load()
    import_options = options.import_options(
        shop=shop or (SHOP if sandbox else None),
        campaign=campaign,
        channel=channel,
        mapping=mapping,
        consent=consent,
        encoding=encoding,
        limit=limit,
        rejects=rejects,
        expires=expires,
    )
    _check_files(exports, out, rejects)
    with ExitStack() as stack:
        if sandbox:
            # Only now: the library that serves it would make every other run start a fifth slower.
            from worker.sandbox.config import SANDBOX_KEY_ID, SANDBOX_SECRET
            from worker.sandbox.server import RunningSandbox

            url = stack.enter_context(RunningSandbox()).url
            key = SigningKey(SANDBOX_KEY_ID, SANDBOX_SECRET.encode())
            shops = ShopRegistry.of(_sandbox_shop(import_options, url, key))
        else:
            shops = ShopRegistry.load(loaded.shops, plaintext_hosts=loaded.plaintext_hosts)
        if shop is not None and shops.get(shop) is None:
            raise no_such_shop(shop, shops.slugs(), loaded)

        def importer_of(index: JobIndex) -> Importer:
            return Importer(
                exports, import_options, index=index, published_at=datetime.now(UTC), allowed_shops=shops.slugs()
            )

        total, told = _ask_first(importer_of, yes=yes)
        clock = SystemClock()
        embedded = EmbeddedRun(
            lambda store, state: build_embedded(loaded, shops, store, clock, state, threads),
            shops,
            importer_of,
            out=out,
            campaign=campaign,
            clock=clock,
            threads=threads,
            patient=wait,
            sandbox=sandbox,
        )
        began = time.monotonic()
        outage = Outage()
        with _draining(embedded), console.Meter(total) as meter:

            def tick() -> None:
                tally = embedded.tally
                rate = tally.done / max(time.monotonic() - began, 0.001)
                meter.show(tally.earlier + tally.done, rate, tally.outcomes.copy())
                if (line := outage.line(embedded.failing, clock.now())) is not None:
                    console.say(line)

            importer = embedded(tick, every=0.2)
    console.warn(importer, told)
    _summarize(importer, embedded.tally, out, sandbox=sandbox, as_json=as_json)
    _end(embedded.tally)


class Outage:
    """Tells in plain words that Refer2 fails: once for each pause, whichever of the shops it is."""

    def __init__(self) -> None:
        self._told_until = 0

    def line(self, failing: tuple[str, int] | None, now: int) -> str | None:
        """What a person should read now, if anything: ``failing`` are a code and when Refer2 is tried again."""
        if failing is None or now < self._told_until or failing[1] <= now:
            return None
        code, self._told_until = failing
        seconds = -(-(self._told_until - now) // SECOND)
        trouble = "Refer2 is out of reach" if code == "connection" else f"Refer2 fails ({code})"
        return f"{trouble}; next try in {seconds} s; Ctrl-C stops"


def _check_files(exports: list[Path], out: Path, rejects: Path | None) -> None:
    written = {out.resolve(), journal_of(out).resolve()}
    for path in exports if rejects is None else [*exports, rejects]:
        if path.resolve() in written:
            raise UsageError(f"{path}: --out would overwrite it; choose another --out")


def _sandbox_shop(import_options: ImportOptions, url: str, key: SigningKey) -> ShopConfig:
    try:
        return ShopConfig.of(
            import_options.shop or SHOP,
            key,
            ShopTable(base_url=url),
        )
    except ValueError as error:
        raise UsageError(f"--shop: {error}") from None


def _ask_first(importer_of: Any, *, yes: bool) -> tuple[int | None, Collection[str]]:
    with JobIndex() as index:
        importer = importer_of(index)
        importer.check()
        told = console.warn(importer)
        if not console.is_terminal():
            return None, told
        total: int = importer.count()
    console.confirm(total, "Send", yes=yes)
    return total, told


@contextmanager
def _draining(embedded: EmbeddedRun) -> Iterator[None]:
    # The first signal drains. A second one more than two seconds later ends the process at once, as a kill would:
    # the journal then says which calls were under way. Groups and terminals deliver one signal twice.
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


def _summarize(importer: Importer, tally: Tally, out: Path, *, sandbox: bool, as_json: bool) -> None:
    rows = [("SANDBOX", "a rehearsal: nobody was called, and the links lead nowhere")] if sandbox else []
    rows += console.import_rows(importer)
    rows += [(outcome, f"{number:,}") for outcome, number in tally.outcomes.most_common()]
    rows += [(f"  {code}", f"{number:,}") for code, number in tally.codes.most_common(20)]
    if tally.parked:
        rows.append(("left for later", f"{tally.parked.total():,}"))
    rate = tally.done / tally.seconds if tally.seconds else 0.0
    rows.append(("took", f"{tally.seconds:.1f} s, {rate:.1f} jobs/s"))
    rows.append(("results are in", f"{out} ({tally.earlier + tally.done:,} rows)"))
    data = {
        "rows": importer.rows,
        "rejected": dict(importer.rejected),
        "finished_before": importer.finished,
        "outcomes": dict(tally.outcomes),
        "codes": dict(tally.codes),
        "left_for_later": dict(tally.parked),
        "left_until": to_datetime(tally.parked_until).isoformat() if tally.parked_until else None,
        "halted": tally.halted,
        "stopped": tally.stopped,
        "seconds": round(tally.seconds, 3),
        "results": str(out),
        "results_rows": tally.earlier + tally.done,
        "sandbox": sandbox,
        "reject_files": [str(path) for path in importer.reject_files],
    }
    console.summary(rows, data, as_json=as_json)


def _end(tally: Tally) -> None:
    for shop, code in sorted(tally.halted.items()):
        console.say(
            f"shop {shop}: {_trouble(code)}, then run the same command again for the {tally.parked[shop]:,} rows left"
        )
    waiting = sum(number for shop, number in tally.parked.items() if shop not in tally.halted)
    if waiting:
        until = to_datetime(tally.parked_until + MINUTE - 1).strftime("%Y-%m-%d %H:%M UTC")
        console.say(
            f"{waiting:,} rows must wait until {until} at the latest (the day's quota is used up, or their customer "
            "has to wait for more than ten minutes); run the same command again then, or use --wait"
        )
    if tally.stopped:
        console.say("stopped; run the same command again to continue")
    if tally.halted:
        raise typer.Exit(1)
    if waiting or tally.stopped:
        raise typer.Exit(LEFT_FOR_LATER)


def _trouble(code: str) -> str:
    if code == "connection":
        return "Refer2 is out of reach; check the network, and the shop's base_url in the shops file"
    if code in ("timeout", "connection_lost", "unreadable_answer") or code.startswith("http_5"):
        return f"Refer2 fails ({code}) for every call; wait until it works again"
    trouble = f"every call is answered {code}"
    if code == "invalid_token":
        return f"{trouble}; fix its credential in the shops file"
    if code.endswith("_global_api_version"):
        return f"{trouble}; fix its api_version in the shops file"
    if code == "http_407":
        return f"{trouble}, which comes from the proxy; put its user and password into REFERRALS_HTTP_PROXY"
    if code.startswith("http_"):
        return f"{trouble}, which does not come from Refer2; fix its base_url or its slug in the shops file"
    return f"{trouble}; that is a rule of the shop: clear it up with them"
