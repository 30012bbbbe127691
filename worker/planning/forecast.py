"""When a campaign would be done: a simulation of the workers with the shops' limits, as they stand now."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

from worker.instants import DAY
from worker.limits.token_bucket import ShopLimits, day_of, next_reset
from worker.planning.circumstances import Hours, Shop, Workers
from worker.planning.lumps import lumped, ordered, size_for, size_for_pace
from worker.planning.plan import Forecast, ShopForecast
from worker.simulator.fleet import Fleet
from worker.simulator.scenario import Scenario


def forecast(
    jobs: Mapping[str, int],
    customers: Mapping[str, Sequence[int]],
    shops: Mapping[str, Shop],
    workers: Workers,
    now: int,
    deadline: int | None = None,
    hours: Mapping[str, Hours] | None = None,
    starts_at: int = 0,
) -> Forecast:
    """Simulate the campaign's ``jobs`` by shop, published ``now``; all its shops are in ``shops``.

    Jobs that are not called by the ``deadline`` end then, without a call.

    ``customers`` has, by shop, how many jobs each of the customers has whose limits may hold jobs back, see
    :func:`least_that_count`. ``hours`` has, by shop, those that its jobs keep. The jobs are held until ``starts_at``
    (0: they aren't). A campaign's pace counts, and what else holds it counts as if it were lifted now. Takes about a
    second of CPU, however many jobs there are.
    """
    # Other shops' queues are in it too: they share the workers' threads.
    busy = {slug: shop for slug, shop in shops.items() if jobs.get(slug) or (shop.ahead and shop.paused is None)}
    hours = hours or {}
    mine = {slug: number for slug, number in jobs.items() if number}
    if not mine:
        return Forecast(now, {})
    sizes = {slug: _size(shop, mine.get(slug, 0), len(busy)) for slug, shop in busy.items()}
    largest = max(sizes.values())
    loads = [
        lumped(
            shop,
            mine.get(slug, 0),
            customers.get(slug, ()),
            sizes[slug],
            # A shop is served job by job in turn with the others, so one with large lumps must have fewer turns.
            max(1, shop.weight * largest // sizes[slug]),
            hours.get(slug),
            aside=starts_at > now,
        )
        for slug, shop in busy.items()
    ]
    orders = [
        (0, partial(ordered, slug=f"s{number}", shop=shop, size=sizes[slug], starts_at=starts_at))
        for number, (slug, shop) in enumerate(busy.items())
        if loads[number].campaign_of is not None
    ]
    report = Fleet(
        Scenario(
            loads,
            processes=workers.processes,
            threads=workers.threads,
            prefetch=workers.prefetch,
            call=workers.call,
            begin=now,
            deadline=deadline,
            orders=orders,
        )
    ).run()
    found = {}
    for slug, shop in zip(busy, report.shops.values(), strict=True):
        if slug in mine:
            most = max(customers.get(slug, ()), default=0)
            limits = busy[slug].limits
            done_at = max(shop.ended, customer_done_at(most, limits, now))
            late = min(mine[slug], shop.late * sizes[slug])
            if deadline is not None and late:
                done_at = deadline
            days = day_of(done_at, limits.resets_at) - day_of(now, limits.resets_at) + 1
            kept = hours.get(slug)
            opens_at = kept.opens_at(now) if kept is not None else now
            found[slug] = ShopForecast(
                mine[slug],
                done_at,
                days,
                late,
                kept.jobs if kept is not None else 0,
                opens_at if opens_at > now else 0,
                shop.first_call,
                kept.closed(now, done_at) if kept is not None else (),
            )
    return Forecast(now, found)


def _size(shop: Shop, jobs: int, shops: int) -> int:
    size = size_for(jobs + shop.ahead, shops)
    return size_for_pace(size, jobs, shop.order if jobs else None)


def customer_done_at(jobs: int, limits: ShopLimits, now: int) -> int:
    """The earliest instant at which a customer's jobs can be done by the customer's own limits."""
    days, rest = divmod(max(0, jobs - 1), limits.customer_per_day)
    begin = now if not days else next_reset(now, limits.resets_at) + (days - 1) * DAY
    return begin + max(0, rest + 1 - limits.customer.burst) * limits.customer.interval


def least_that_count(jobs: int, limits: ShopLimits) -> int:
    """How many jobs a customer has at most whose limits hold nothing back, in a shop with so many jobs.

    Its jobs are spread over the shop's. So they only wait for each other if the customer's limit lets them through more
    slowly than the shop's limit lets through all.
    """
    whole = jobs * limits.shop.interval
    return max(1, min(limits.customer_per_day, whole // (2 * limits.customer.interval)))


def with_one_more(workers: Workers) -> Workers:
    """The same workers and one more process."""
    return replace(workers, processes=workers.processes + 1)


def with_twice_the_threads(workers: Workers) -> Workers:
    """The same workers with twice as many threads each."""
    return replace(workers, threads=2 * workers.threads)
