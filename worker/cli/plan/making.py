"""Makes a plan: reads the exports as `publish` and `run` do, looks at shops and workers, and forecasts."""

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from worker.campaigns.containers.base import ExportFile
from worker.campaigns.dedup import JobIndex
from worker.campaigns.importer import Importer
from worker.campaigns.options import ImportOptions
from worker.campaigns.rows import DraftJob
from worker.cli.ledger import Ledger
from worker.cli.meter import Meter
from worker.clock import SystemClock
from worker.instants import from_datetime
from worker.planning.circumstances import Hours, Workers
from worker.planning.collector import Collector, Predictor
from worker.planning.examples import Examples
from worker.planning.plan import ExportRead, Plan
from worker.settings import Settings
from worker.shops.config import ListedShop

if TYPE_CHECKING:
    from worker.cli.plan.outlook import Outlook

TICK_ROWS = 500
"""Jobs between two updates of the line of progress."""


@dataclass(frozen=True)
class Campaign:
    """What a plan is made for. ``done`` are the ids of jobs that an earlier run has done.

    ``ledger`` are the settings by which the workers' ledger is asked, None to ask nobody. ``look`` finds out how the
    shops stand whose jobs would be called. ``processes`` overrules what ``look`` says of the workers, None if it
    doesn't; ``workers`` has their threads. ``in_one_process``: it is for `referrals run`, which ``waits`` for the next
    day or doesn't. Jobs beyond the ``first`` wait for a release, and all of them until ``starts_at`` (0: for neither).
    """

    files: Sequence[ExportFile]
    options: ImportOptions
    listed: Mapping[str, ListedShop]
    look: "Callable[[Collection[str]], Outlook]"
    workers: Workers
    processes: int | None = None
    ledger: Settings | None = None
    done: Iterable[str] = ()
    in_one_process: bool = False
    waits: bool = False
    first: int | None = None
    starts_at: int = 0


def make_plan(
    campaign: Campaign, predictor: Predictor | None = None, *, keep_rejects: bool = True
) -> tuple[Plan, Importer]:
    """Read the exports and plan. Returns the importer too, for its warnings; blocks as long as reading takes.

    Rejected rows are written to a file only with ``keep_rejects`` and if the options name one.

    Raises:
      UsageError, InputError: as :class:`Importer` says.
    """
    # Imported only now: the simulator brings Dramatiq and the gate, and a `publish` without a plan needs neither. They
    # would add 180 modules and a quarter of a second of CPU to its start.
    from worker.planning.forecast import forecast, least_that_count, with_one_more, with_twice_the_threads

    examples = Examples([file.name for file in campaign.files])
    collector = Collector(predictor, campaign.first)
    problem = None
    with JobIndex() as index:
        index.mark_finished(campaign.done)
        importer = Importer(
            campaign.files,
            campaign.options,
            index=index,
            published_at=None,
            allowed_shops=campaign.listed,
            on_reject=examples.add,
            keep_rejects=keep_rejects and campaign.options.rejects is not None,
        )
        importer.check()
        with closing(importer.drafts()) as drafts:
            if campaign.ledger is None:
                collector.collect((draft, None) for draft in _shown(drafts, importer))
            else:
                with Ledger(campaign.ledger) as ledger:
                    collector.collect(ledger.look_up(_shown(drafts, importer)))
                    problem = ledger.problem
    jobs = collector.shops
    outlook = campaign.look(jobs.keys())
    remarks = [*outlook.remarks, *([problem] if problem else []), *outlook.closed]
    if jobs and outlook.processes == 0 and campaign.processes is None:
        remarks.append(
            # Workers that call nobody take no jobs either, and why is said already.
            "the plan is counted with one worker that calls"
            if outlook.closed
            else "no worker takes these shops' jobs at present; it is counted with one"
        )
    workers = replace(campaign.workers, processes=campaign.processes or outlook.processes or 1)
    least = {slug: least_that_count(number, outlook.shops[slug].limits) for slug, number in jobs.items()}
    customers = collector.customers.above(least)
    now = SystemClock().now()
    more = with_twice_the_threads(workers) if campaign.in_one_process else with_one_more(workers)
    deadline = from_datetime(campaign.options.not_after) if campaign.options.not_after is not None else None
    hours = _hours(campaign, collector.to_call)
    planned = forecast(jobs, customers, outlook.shops, workers, now, deadline, hours, campaign.starts_at)
    first = None
    if collector.going.total() < jobs.total():
        # Its customers have few jobs among the first ones.
        first = forecast(collector.going, {}, outlook.shops, workers, now, deadline, hours)
    if campaign.in_one_process and not campaign.waits and any(shop.days > 1 for shop in planned.shops.values()):
        remarks.append("`referrals run` ends once a day's quota is used up; run it again then, or give it --wait")
    if campaign.in_one_process and not campaign.waits and any(shop.opens_at for shop in planned.shops.values()):
        remarks.append("`referrals run` leaves out jobs whose window is closed; run it again then, or give it --wait")
    plan = Plan(
        exports=[
            ExportRead(export.file.name, export.preset, export.format, export.encoding, export.delimiter, rows)
            for export, rows in zip(importer.exports, importer.rows_of, strict=True)
        ],
        rows=importer.rows,
        jobs=importer.accepted + importer.finished,
        rejected=importer.rejected,
        examples={reason: examples.of(reason) for reason in importer.rejected},
        places={reason: examples.places(reason) for reason in importer.rejected},
        done_already=importer.finished + collector.known["answered"],
        under_way=collector.known["under_way"],
        to_call=collector.to_call,
        over_quota=_over_quota(customers, outlook),
        predicted=collector.predicted(),
        shops=outlook.shops,
        workers=workers,
        forecast=planned,
        more=forecast(jobs, customers, outlook.shops, more, now, deadline, hours, campaign.starts_at),
        more_by=f"--threads {more.threads}" if campaign.in_one_process else "one more worker",
        remarks=remarks,
        untold=importer.untold,
        suppressed=importer.suppressed,
        first=first,
        starts_at=campaign.starts_at,
    )
    return plan, importer


def _hours(campaign: Campaign, to_call: Mapping[tuple[str, str], int]) -> dict[str, Hours]:
    """The hours of the shops whose jobs keep to any."""
    kept: Counter[str] = Counter()
    for (slug, channel), jobs in to_call.items():
        if campaign.listed[slug].keeps_hours(channel):
            kept[slug] += jobs
    own = campaign.options.window
    windows = {slug: campaign.listed[slug].window for slug in kept}
    return {
        slug: Hours(jobs, windows[slug], own)
        for slug, jobs in kept.items()
        if windows[slug] is not None or own is not None
    }


def _shown(drafts: Iterable[DraftJob], importer: Importer) -> Iterator[DraftJob]:
    """The drafts, with a line of progress that counts the rows read."""
    began = time.monotonic()
    with Meter(None) as meter:
        for number, draft in enumerate(drafts, start=1):
            if number % TICK_ROWS == 0:
                meter.show(importer.rows, importer.rows / (time.monotonic() - began), importer.rejected)
            yield draft


def _over_quota(customers: Mapping[str, Sequence[int]], outlook: "Outlook") -> dict[str, tuple[int, int]]:
    found = {}
    for slug, counts in customers.items():
        over = [jobs for jobs in counts if jobs > outlook.shops[slug].limits.customer_per_day]
        if over:
            found[slug] = (len(over), sum(over))
    return found
