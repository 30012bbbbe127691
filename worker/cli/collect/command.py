"""``referrals collect``: writes results from RabbitMQ to a file or a database."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from worker.cli import console, options, uploading
from worker.errors import UsageError
from worker.results.file import Format, ResultsFile

if TYPE_CHECKING:
    from worker.cli.collect.destination import Destination
    from worker.settings import Settings


def collect(
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FILE",
            help="File to write; an existing one is continued. With --merge, the merged export.",
            show_default=False,
        ),
    ] = None,
    postgres: Annotated[
        str | None,
        typer.Option(
            "--postgres",
            metavar="URL",
            help="PostgreSQL to write to in place of a file; the password belongs into the environment. "
            "[default, without --out: REFERRALS_POSTGRES_URL]",
            show_default=False,
        ),
    ] = None,
    form: Annotated[Format, typer.Option("--format", help="One row or one line of JSON per job.")] = "csv",
    until_idle: Annotated[
        float | None,
        typer.Option(
            "--until-idle",
            metavar="SECONDS",
            min=0.1,
            help="End after this many seconds without a result, even if there was none at all.",
            show_default=False,
        ),
    ] = None,
    exports: Annotated[
        list[Path] | None,
        typer.Option(
            "--merge",
            metavar="EXPORT",
            help="Then put the results into this export, as `referrals merge` does. May be given several times.",
            show_default=False,
        ),
    ] = None,
    campaign: Annotated[
        str | None,
        typer.Option(
            "--campaign",
            help="With --merge: as `referrals merge` has it; needed where earlier results are kept.",
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
    tool: uploading.For = None,
    link_column: uploading.LinkColumn = None,
    as_json: options.Json = False,
) -> None:
    """Write results to a file or to PostgreSQL, one row per job, and acknowledge them once they are stored.

    An existing file is continued: a job that it holds is not written again. If the file has the job as `expired` or
    `cancelled` and the job was called later, a second row is added, and that row counts. SIGTERM and Ctrl-C end the
    command cleanly.

    PostgreSQL gets the schema `referrals`, which is made and migrated here. There the result of a call replaces
    `expired` or `cancelled`, and several of these commands may run side by side. While the database is away, results
    wait in RabbitMQ.

    With `--merge` the results are put into the exports that they came from, once the collecting has ended, by
    --until-idle or by one signal: `--out` is the merged export, and the results lie in `OUT.results.csv` beside it, or
    in PostgreSQL with `--postgres`. The options from `--campaign` on are those of `referrals merge`. `--json` then
    prints a line for each of the two.

    Example: `referrals collect --out results.csv --until-idle 30`
    """
    from worker.cli.collect.loop import collect_until
    from worker.cli.collect.merging import MergeAfterwards
    from worker.cli.merge_campaign import Asked
    from worker.cli.settings import load
    from worker.rabbitmq.connection import parameters

    loaded = load()
    asked = Asked(campaign, shop, channel, mapping, consent, preset, ignore_consent, encoding)
    afterwards = None
    if exports:
        if form != "csv":
            raise UsageError("--format: can't be combined with --merge, which keeps results as CSV")
        afterwards = MergeAfterwards.of(exports, asked, tool, link_column, out, keeps=postgres is None)
        out = afterwards.kept
    elif asked.anything or tool is not None or link_column is not None:
        raise UsageError("--campaign and the options after it say how an export is read; give --merge EXPORT with them")
    params = parameters(loaded.amqp_url.get_secret_value(), name="referral-dispatch collect")
    # A signal only sets a flag: what is being written is finished, synced and acknowledged before the command ends.
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with _opened(out, postgres, form, loaded) as destination:
        try:
            why = collect_until(params, destination, stop, until_idle)
        finally:
            destination.close()
    _summarise(destination, as_json=as_json)
    if why is not None:
        console.say(why)
    if afterwards is not None:
        # Before the merge, which may fail: the results of these campaigns don't come again.
        if others := afterwards.others(destination.tally.campaigns):
            console.note(others)
        # A further signal ends the merge, as it ends `referrals merge`; the results are safe.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        afterwards.merge(postgres, as_json=as_json)


@contextmanager
def _opened(out: Path | None, postgres: str | None, form: Format, loaded: Settings) -> Iterator[Destination]:
    """The one destination. Two would fail apart from each other, and a result is acknowledged once."""
    from worker.cli import database
    from worker.cli.collect.file import FileDestination
    from worker.results.index import ResultIndex

    if out is not None and postgres is not None:
        raise UsageError("--out and --postgres: results go to one of them; leave out the other")
    if out is not None:
        with ResultIndex() as seen:
            yield FileDestination(out, ResultsFile(out, form), seen)
        return
    if form != "csv":
        raise UsageError("--format: is for --out alone")
    location = database.location(postgres, loaded)
    if location is None:
        raise UsageError(
            "nothing says where results go: give --out FILE or --postgres URL, or set REFERRALS_POSTGRES_URL"
        )
    # psycopg takes 50 ms to import, and most results go to files.
    from worker.cli.collect.table import TableDestination

    yield TableDestination(location)


def _summarise(destination: Destination, *, as_json: bool) -> None:
    from worker.cli.outcome_rows import by_code, outcome_rows

    tally = destination.tally
    place, keys = destination.summary()
    rows = outcome_rows(tally.outcomes, tally.codes)
    rows += [("repeated", f"{tally.repeated:,}")] if tally.repeated else []
    rows += [("called after all", f"{tally.superseding:,} that had ended without a call")] if tally.superseding else []
    rows += [("not a result", f"{tally.unreadable:,} moved to referrals.dead")] if tally.unreadable else []
    rows += [("from a SANDBOX", f"{tally.rehearsed:,}: nobody was called, and their links lead nowhere")] * (
        tally.rehearsed > 0
    )
    rows.append(("results are in", place))
    data = {
        "outcomes": dict(tally.outcomes),
        "codes": by_code(tally.codes),
        "repeated": tally.repeated,
        "superseding": tally.superseding,
        "unreadable": tally.unreadable,
        "sandbox": tally.rehearsed,
    }
    console.summary(rows, data | keys, as_json=as_json)
