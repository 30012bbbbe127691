"""The judge of the fault suite: from what went in and what came out, whether the promise was kept. Pure.

The promise: every job that RabbitMQ confirmed ends in a result or in the dead queue; what ends was published; and after
a final answer Refer2 isn't called again. A result that tells of no call ends only a job that nobody wanted called:
where a copy of it was, there is a final one beside it. It knows jobs by their ids only.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

SECOND = 1_000_000

CLOCKS_DIFFER = SECOND // 100
"""By how much a worker's stamps may be behind the receiving side's: it follows the wall clock by steps of 10 ms."""


@dataclass(frozen=True)
class Verdict:
    """What became of the jobs, as sets of ids.

    ``attempted`` were handed to RabbitMQ and ``acknowledged`` confirmed by it. ``ok`` are attempted ones that ended;
    ``lost`` acknowledged ones that did not, or wanted ones that ended without a call; ``unexpected`` ended, or were
    called, without having been published; ``recovered`` ended though their confirm was never heard. ``duplicated`` are
    published ones that Refer2 carried out more than once; ``repeats`` counts the calls beyond the first of each.
    ``contradicted`` are those that nobody wanted, and that are said to have ended without a call and were called.
    """

    attempted: frozenset[str]
    acknowledged: frozenset[str]
    ok: frozenset[str]
    lost: frozenset[str]
    unexpected: frozenset[str]
    duplicated: frozenset[str]
    recovered: frozenset[str]
    repeats: int
    contradicted: frozenset[str]

    @property
    def valid(self) -> bool:
        """Nothing was lost, nothing came from nowhere, and no result was untrue; how many repeats a fault may cause is
        the fault's to say.
        """
        return not (self.lost or self.unexpected or self.contradicted)


def check(
    published: Mapping[str, bool],
    calls: Iterable[str],
    results: Iterable[str],
    dead: Iterable[str],
    *,
    uncalled: Iterable[str] = (),
    wanted: Collection[str] = (),
) -> Verdict:
    """Judge a run.

    ``published`` has each job that was handed to RabbitMQ, and whether a confirm of it was heard; ``calls`` a job id
    for each call that Refer2 carried out; ``results`` and ``dead`` one for each message in those queues, but for the
    results that tell of no call, which are ``uncalled``. ``wanted`` are jobs that had such copies and others besides.
    """
    attempted = frozenset(published)
    acknowledged = frozenset(job for job, confirmed in published.items() if confirmed)
    called = Counter(calls)
    final, passed_over = frozenset(results) | frozenset(dead), frozenset(uncalled)
    ended = final | (passed_over - frozenset(wanted))
    ok = ended & attempted
    duplicated = frozenset(job for job, count in called.items() if count > 1) & attempted
    return Verdict(
        attempted=attempted,
        acknowledged=acknowledged,
        ok=ok,
        lost=acknowledged - ended,
        unexpected=(ended | passed_over | called.keys()) - attempted,
        duplicated=duplicated,
        recovered=ok - acknowledged,
        repeats=sum(called[job] - 1 for job in duplicated),
        contradicted=(passed_over & (frozenset(results) | called.keys())) - frozenset(wanted),
    )


def called_after_the_end(calls: Iterable[tuple[str, int]], ended: Mapping[str, int]) -> frozenset[str]:
    """The jobs that were called once more after they had ended.

    ``calls`` has job id and arrival of each call, whatever its answer, ``ended`` when a job's first final result was
    made; both in microseconds, by clocks that differ by at most :data:`CLOCKS_DIFFER`. A job's first call is none of
    these, whatever its worker's clock said.
    """
    arrivals: dict[str, list[int]] = {}
    for job, at in calls:
        arrivals.setdefault(job, []).append(at)
    return frozenset(
        job
        for job, times in arrivals.items()
        if job in ended and any(at > ended[job] + CLOCKS_DIFFER for at in sorted(times)[1:])
    )


def overrun(arrivals: Sequence[int], *, per_second: float, burst: int) -> float:
    """By how many calls the worst window went beyond ``burst`` and ``per_second`` together; 0 where none did.

    ``arrivals`` are the instants at which one shop's calls came in, in microseconds.
    """
    worst = level = 0.0
    last = 0
    for at in sorted(arrivals):
        # A bucket that drains at the pace: its highest level is the window with most calls beyond the pace.
        level = max(0.0, level - (at - last) * per_second / SECOND) + 1
        last = at
        worst = max(worst, level)
    return max(0.0, worst - burst)
