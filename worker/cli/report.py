"""``referrals report``: a page that shows what became of a campaign."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from worker.cli import console, options
from worker.errors import UsageError
from worker.text.near_names import near_names

if TYPE_CHECKING:
    from worker.cli.conversions import ShopsAsked
    from worker.reporting.figures import Figures
    from worker.results.source import ResultSource

_CAMPAIGNS_NAMED = 3
"""Campaigns that an error names if none is like the one that is asked for."""

_CAMPAIGNS_COMPARED = 1000
"""Results may be of any number of campaigns, and all of these are in memory."""


def report(
    campaign: Annotated[
        str, typer.Argument(metavar="CAMPAIGN", help="Name of the campaign, as given to publish or run.")
    ],
    out: Annotated[
        Path, typer.Option("--out", metavar="FILE", help="File for the page (HTML); an earlier page is replaced.")
    ],
    files: options.From = None,
    postgres: options.Postgres = None,
    shop: Annotated[str | None, typer.Option("--shop", help="Only results of this shop.", show_default=False)] = None,
    rejects: Annotated[
        list[Path] | None,
        typer.Option(
            "--rejects",
            metavar="FILE",
            help="Rejects file of an export of this campaign, to show what was left out. May be given several times.",
            show_default=False,
        ),
    ] = None,
    conversions: Annotated[
        bool,
        typer.Option("--conversions", help="Ask the shops how many referrals were accepted, qualified and rewarded."),
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Write a page that shows what became of a campaign, for a person to read, to print or to send on.

    One file that asks the network for nothing: outcomes and error codes with what each means and what to do, results
    over time, by shop and by channel, how long calls took and how often they were repeated, the rows of the export that
    were left out, and what the shop said. --json prints the same figures for another program.

    With --conversions each shop of the campaign is asked: its history (ListHistory1), or, where that names none of the
    referrals, CustomerReferrals2 for every customer who has one, which takes a call each. It reads the shops file, and
    calls for nothing but these lists. A link that three friends accepted is three acceptances; who accepted before the
    campaign is not counted.

    Each job counts once, by its latest run, or by the one that was sent. Jobs without a result yet are not on the page.

    Example: `referrals report spring --from results.csv --rejects spring.csv.rejects.csv --out report.html`
    """
    from worker.cli.result_source import opened
    from worker.reporting.document import conversions_of, document
    from worker.reporting.figures import Figures
    from worker.reporting.file import check_place, write_page
    from worker.reporting.page import page

    check_place(out)
    rejected = _rejected(rejects) if rejects else None
    now = datetime.now(UTC)
    figures = Figures(now)
    with ExitStack() as stack:
        asker = stack.enter_context(_asker()) if conversions else None
        source = stack.enter_context(opened(files, postgres))
        sent_again = False
        for result in source.results(campaign, shop):
            figures.add(result)
            sent_again = sent_again or bool(result.get("run"))
            if asker is not None:
                asker.add(result)
        if sent_again:
            figures = _by_job(source, campaign, shop, now)
        if not figures.jobs:
            raise _nothing(source, campaign, shop)
        told = asker.ask() if asker is not None else None
    shown = document(
        figures,
        campaign=campaign,
        shop=shop,
        made_at=now,
        rejected=rejected,
        conversions=conversions_of(told.totals, told.days, told.sources, told.remarks) if told is not None else None,
    )
    write_page(out, page(shown))
    console.summary(_summary(figures, shown, out), {**shown, "report": str(out)}, as_json=as_json)
    for remark in told.remarks if told is not None else ():
        console.note(remark)


def _by_job(source: ResultSource, campaign: str, shop: str | None, now: datetime) -> Figures:
    # Which run counts is known only once all were read. Only campaigns with a replay pay for reading them twice more.
    from worker.reporting.figures import Figures
    from worker.results.runs import Runs, first_id

    figures = Figures(now)
    with Runs() as runs:
        for result in source.results(campaign, shop):
            run = result.get("run") or 0
            runs.add(first_id(result), run, result["outcome"], run)
        for result in source.results(campaign, shop):
            known = runs.known(first_id(result))
            # A collector may add to them meanwhile: what is new counts in the next report.
            if known is not None:
                figures.add(result, superseded=known.counting != (result.get("run") or 0))
    return figures


def _asker() -> AbstractContextManager[ShopsAsked]:
    # Imported only when asked for: no other report calls anybody and needs an HTTP library.
    from worker.cli.conversions import ShopsAsked
    from worker.cli.settings import load

    return ShopsAsked(load())


def _rejected(files: Sequence[Path]) -> Counter[str]:
    from worker.reporting.rejected_rows import count_rejected

    counted: Counter[str] = Counter()
    # A file that is given twice counts once.
    for path in dict.fromkeys(path.resolve() for path in files):
        counted += count_rejected(path)
    return counted


def _nothing(source: ResultSource, campaign: str, shop: str | None) -> UsageError:
    """Why there is nothing to report; names campaigns that are there, those that may be meant if there are any."""
    found: dict[str, None] = {}
    for result in source.results(None, shop):
        found.setdefault(result["campaign"])
        if len(found) == _CAMPAIGNS_COMPARED:
            break
    near = near_names(campaign, found, otherwise=_CAMPAIGNS_NAMED)
    there = f"; there are results of {', '.join(near)}{' and others' if len(found) > len(near) else ''}"
    of = f"campaign {campaign}" + (f" in shop {shop}" if shop is not None else "")
    return UsageError(f"{of}: has no results here{there if found else ''}; nothing was written")


def _summary(figures: Figures, shown: dict[str, Any], out: Path) -> list[tuple[str, str]]:
    from worker.model.codes import explain
    from worker.reporting.groups import OTHER

    rows = []
    if figures.rehearsed:
        of = "all" if figures.rehearsed == figures.jobs else f"{figures.rehearsed:,}"
        rows.append(("from a SANDBOX", f"{of}: nobody was called, and their links lead nowhere"))
    rows.append(("jobs", f"{figures.jobs:,}"))
    for outcome, number in figures.outcomes.most_common():
        rows.append((outcome, f"{number:,}"))
        rows += [
            (f"  {row['code']}", f"{row['results']:,}  {explain(outcome, row['code']).short}")
            for row in shown["codes"][:20]
            if row["outcome"] == outcome and row["code"] != OTHER
        ]
    if shown["conversions"] is not None:
        rows += [(step, f"{number:,}") for step, number in shown["conversions"]["totals"].items()]
    if shown["rejected_rows"] is not None:
        rows.append(("left out", f"{sum(shown['rejected_rows'].values()):,}"))
        rows += [(f"  {reason}", f"{number:,}") for reason, number in shown["rejected_rows"].items()]
    rows.append(("the page is in", str(out)))
    return rows
