"""The contestants under limits: the share of each shop's quota that they use, what they cost the API, who waits."""

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from statistics import median

from scripts.programs.benchmarks.contestants import LIMITED, Contestant, Places
from scripts.programs.benchmarks.course import Course, Tools
from scripts.programs.benchmarks.inputs import CHANNEL, customer, slugs
from scripts.programs.benchmarks.passage import BURST, PER_SECOND, QUIET_JOBS, QUIET_SHOPS, SHOPS, Passage, judged
from scripts.programs.benchmarks.report import Benchmark, Picture, Report, cell, panel
from scripts.programs.benchmarks.site import THREADS, Api, Site
from tests.services import Valkey, wait_until
from worker.clock import SystemClock
from worker.model.job import Customer, Job

_QUIET_AFTER = 0.3
"""Of the calls: then the quiet shops' jobs are sent."""

_IDLE_SECONDS = 15
"""Without a call or a result, after which nothing more is expected. Contestants wait for 2 s at most."""

_LONGEST_SECONDS = 60
"""From the quiet shops' jobs on: five times what the limits ask for."""

_POLL_SECONDS = 0.2


def measure(course: Course, api: Api, contestant: Contestant, of_each: int) -> Passage:
    """Send the busy shops' jobs, start the worker, and send the quiet shops' in the midst of them."""
    busy = list(_jobs(course.shops[QUIET_SHOPS:], of_each))
    quiet = list(_jobs(course.shops[:QUIET_SHOPS], QUIET_JOBS))
    course.empty_durable_store()
    with contestant.sending(course) as send:
        for job in busy if contestant.queued else [*busy, *quiet]:
            send(job)
    sent_at = 0
    with ExitStack() as later:
        # Opened early: its own start is none of a quiet shop's wait.
        sending = later.enter_context(contestant.sending(course)) if contestant.queued else None
        with contestant.start(course):
            if sending is not None:
                with suppress(TimeoutError):
                    enough = round(len(busy) * _QUIET_AFTER)
                    wait_until(lambda: api.count() >= enough, _LONGEST_SECONDS, f"{enough} calls")
                sent_at = SystemClock().now()
                for job in quiet:
                    sending(job)
                later.close()
            places = _finish(course, api, contestant, len(busy) + len(quiet))
            ended_at = SystemClock().now()
    calls = [call for call in api.calls() if call["arrived_at"] <= ended_at]
    return judged(calls, course.shops, of_each, (sent_at, ended_at), len(busy) + len(quiet) - places.results)


def _finish(course: Course, api: Api, contestant: Contestant, jobs: int) -> Places:
    """Until each job has its result, or nothing happens any more, or it takes too long."""
    end = time.monotonic() + _LONGEST_SECONDS
    seen, idle_at = None, end
    while (places := contestant.places(course)).results < jobs or places.elsewhere:
        now = time.monotonic()
        if (places, api.count()) != seen:
            seen, idle_at = (places, api.count()), now + _IDLE_SECONDS
        if now > min(idle_at, end):
            break
        time.sleep(_POLL_SECONDS)  # between two looks
    return places


def _jobs(shops: Sequence[str], of_each: int) -> Iterator[Job]:
    """Of customers who have one job each, the shops by turns."""
    for number in range(of_each * len(shops)):
        yield Job.create(
            shop=shops[number % len(shops)],
            campaign="bench",
            customer=Customer(email=customer(number)),
            channel=CHANNEL,
            reference=f"ref-{number}",
            line=number,
        )


def run(site: Site, *, strict: bool) -> Report:
    """Some rounds, all by turns in each."""
    rounds, of_each = site.of(2, 1), site.of(249, 49)
    taken: dict[str, list[Passage]] = {contestant.name: [] for contestant in LIMITED}
    tools = Tools.made()
    api_of = site.upstream if strict else site.api
    with Valkey(site.folder / "durable", appendonly="yes", appendfsync="always") as durable:
        for _ in range(rounds):
            for contestant in LIMITED:
                with site.vhost() as vhost, api_of("--per-second", str(PER_SECOND)) as api:
                    course = Course(
                        site=site,
                        tools=tools,
                        vhost=vhost,
                        durable=durable,
                        api_url=api.url,
                        ca_file=None,
                        shops=slugs(SHOPS),
                        keys={"per_second": PER_SECOND, "burst": PER_SECOND // 5},
                        threads=THREADS,
                        per_second=PER_SECOND,
                    )
                    taken[contestant.name].append(measure(course, api, contestant, of_each))
    jobs = (SHOPS - QUIET_SHOPS) * of_each + QUIET_SHOPS * QUIET_JOBS
    shops = f"{SHOPS - QUIET_SHOPS} shops with {of_each} jobs each, {QUIET_SHOPS} quiet ones with {QUIET_JOBS} each"
    lines = [
        f"Rounds of {jobs:,} jobs, {rounds} by turns; medians, and in brackets the least and the most.",
        f"{shops}; {PER_SECOND}/s for each shop. {THREADS} calls at once.",
        f"Limiters: {'; '.join(f'{contestant.name}: {contestant.limiter}' for contestant in LIMITED)}.",
    ]
    name = "limits-strict" if strict else "limits"
    says = "Columns of the table below: the quota used, what the API had to do about it, and the quiet shops' wait"
    return Report(
        _head(strict=strict),
        list(_rows(taken, strict=strict)),
        lines,
        Picture(name, says, _drawn(tools, taken, strict=strict)),
    )


def _head(*, strict: bool) -> tuple[str, ...]:
    return (
        "one worker",
        "quota used, %",
        "calls a job",
        "answers 429" if strict else "delayed by the API, ms",
        f"most calls in a second, of {PER_SECOND + BURST}",
        "quiet job called after, s",
        "the last of them, s",
        f"no result within {_LONGEST_SECONDS} s",
    )


def _rows(taken: dict[str, list[Passage]], *, strict: bool) -> Iterator[tuple[str, ...]]:
    for contestant in LIMITED:
        its = taken[contestant.name]
        quiet = [[median(one.quiet) for one in its], [max(one.quiet) for one in its]]
        yield (
            contestant.name,
            cell([100 * one.used for one in its], 0),
            cell([one.calls_a_job for one in its], 2),
            cell([one.refused if strict else 1000 * one.held for one in its], 0),
            cell([one.most for one in its], 0),
            *(cell(values, 2) if contestant.queued else "" for values in quiet),
            cell([one.missing for one in its], 0),
        )


def _drawn(tools: Tools, taken: dict[str, list[Passage]], *, strict: bool) -> str:
    queued = {contestant.name for contestant in LIMITED if contestant.queued}
    waits = [[max(one.quiet) for one in its] if name in queued else [] for name, its in taken.items()]
    panels = [
        panel("quota used, %", 0, [[100 * one.used for one in its] for its in taken.values()]),
        (
            panel("calls a job", 2, [[one.calls_a_job for one in its] for its in taken.values()])
            if strict
            else panel("delayed by the API, ms", 0, [[1000 * one.held for one in its] for its in taken.values()])
        ),
        panel("last quiet job called after, s", 2, waits),
    ]
    return tools.draw({"names": list(taken), "panels": panels})


_READING = """\
The contestants of `peers`, each with its own limiter where it has one, on 10 shops that are allowed 20 calls a second
each. The API is `referrals sandbox`, which does as Refer2 does: it holds a call back that is over its shop's limit, for
up to 5 s, and answers 429 beyond. Its bucket holds 20 calls more, so that the first second of a shop may have 40. All
jobs of eight shops wait in the queue, the shops by turns, which suits those who take them one after another. When three
tenths of them are called, two quiet shops get four jobs each. Dramatiq's limiter is kept in the same kind of Valkey as
our limits. Celery has processes here, as it comes: with a pool of threads, its limiter takes twice as long, and neither
other prefetch counts nor a finer timer made it faster. The pool of threads has no queue, so that nothing can be sent to
it in the midst.

The quota used is that of the worst shop: 20 calls a second from the first call on, over the time that its calls took.
It can exceed 100 % by what the API's bucket holds. Our own burst is 4 here, as 20 are for the default of 100 a second.
Each call is one that arrived at the API, which also counts how many arrive within one second of its clock, and how long
it held them back. A quiet job's time runs from before it is sent to its call; the median and the longest of the eight
are shown. A contestant that isn't done 60 s after they were sent is stopped. What it has not called by then counts as
waiting until then, and its jobs without a result are counted; those of one that loses jobs would be too."""

BENCHMARKS = (
    Benchmark(
        name="limits",
        title="Under limits, beside what else one would build it on",
        reading=_READING,
        run=partial(run, strict=False),
    ),
    Benchmark(
        name="limits-strict",
        title="The same where the API refuses at once",
        reading="""\
The same contestants and the same jobs as `limits`, with an API of the same limits that holds no call back: it answers
429 with `Retry-After: 1` to each call that is over. Many APIs do so; with Refer2 it begins at 5 s of delay. A refused
call is one more call for its job.""",
        run=partial(run, strict=True),
    ),
)
