"""A campaign's own pace, on either store alike: one more limit beside those of shop and customer."""

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.integration.store.worlds import MemoryWorld, RedisWorld, World, advance, submitted
from tests.unit.making import go, make_limits, make_request
from worker.instants import DAY, SECOND
from worker.limits.token_bucket import Rate, ShopLimits
from worker.store.protocol import AdmitRequest, CampaignPace, Grant, Wait
from worker.store.timing import FARTHEST_PLACE, HORIZON

LIMITS = make_limits(shop=Rate.per_second(50, 5), customer=Rate(1, 10**6))
TEN = CampaignPace(SECOND // 10, 0)


def asking(number: int, pace: CampaignPace | None = TEN, limits: ShopLimits = LIMITS) -> AdmitRequest:
    """A job of the campaign, whose customer is its own."""
    campaign = "spring" if pace is not None else "summer"
    return replace(make_request(number, customer=f"c{number}", limits=limits), campaign=campaign, pace=pace)


def placed(request: AdmitRequest, wait: Wait) -> AdmitRequest:
    """The job as it asks again, with the place that it was given."""
    assert request.pace is not None
    return replace(request, pace=replace(request.pace, place=wait.place))


def test_each_job_has_its_place(world: World) -> None:
    """They go an interval apart, in the order in which they asked; the shop's other campaigns go at once.

    The second may come half an interval early, which a delay of the first would have cost.
    """
    go(world.store, asking(1))
    waits = [world.store.admit(asking(number)) for number in (2, 3, 4)]
    places = [world.now + number * SECOND // 20 for number in (1, 3, 5)]
    assert waits == [Wait("campaign", place, place) for place in places]
    assert isinstance(world.store.admit(asking(5, None)), Grant)
    for number, wait in zip((2, 3, 4), waits, strict=True):
        assert isinstance(wait, Wait)
        world.set(wait.until)
        go(world.store, placed(asking(number), wait))


def test_a_grant_that_is_not_used_leaves_its_call_of_the_day(world: World) -> None:
    """As of its shop's day; a call that was made has used it, and a release that comes twice gives one back."""
    two = CampaignPace(0, 2)
    first = go(world.store, asking(1, two))
    advance(world, SECOND)
    second = go(world.store, asking(2, two))
    advance(world, SECOND)
    world.store.release(asking(1, two), first.epoch, called=True)
    wait = world.store.admit(asking(3, two))
    assert isinstance(wait, Wait)
    assert wait.scope == "campaign_day"
    for _ in range(2):
        world.store.release(asking(2, two), second.epoch, called=False)
    go(world.store, asking(3, two))
    assert world.store.inspect("acme", LIMITS, "spring").campaign_today == 2


def test_never_above_it(ahead: World) -> None:
    """However it is asked, any window of time has one and a half calls more than the pace at the most."""
    starts: list[int] = []
    waiting: list[tuple[int, AdmitRequest]] = []
    began = ahead.now
    for number in range(600):
        advance(ahead, 4_000 + 3_000 * (number % 5))
        due = [request for until, request in waiting if until <= ahead.now]
        waiting = [(until, request) for until, request in waiting if until > ahead.now]
        for request in (*due, *([asking(number)] if len(waiting) < 8 else [])):
            reply = submitted(ahead.store, [request], turn=True)[0]
            if isinstance(reply, Grant):
                starts.append(reply.start_at)
            elif isinstance(reply, Wait):
                waiting.append((reply.until, placed(request, reply)))
    # Nearly all of it is used, too.
    assert len(starts) >= (ahead.now - began) // TEN.interval - 1
    starts.sort()
    most = max(
        after - before + 1 - (last - first) / TEN.interval
        for before, first in enumerate(starts)
        for after, last in enumerate(starts)
        if after >= before
    )
    assert most <= 1.5


def test_a_newcomer_takes_no_place(world: World) -> None:
    """Where others have places, a token that is there is theirs."""
    go(world.store, asking(1))
    wait, later = (world.store.admit(asking(number)) for number in (2, 3))
    assert isinstance(wait, Wait)
    assert isinstance(later, Wait)
    world.set(wait.until)
    newcomer = world.store.admit(asking(4))
    assert isinstance(newcomer, Wait)
    assert newcomer.until > later.until
    go(world.store, placed(asking(2), wait))


def test_a_day_s_pace(world: World) -> None:
    """So many calls a day, then none until the shop's reset, and then as many again; it counts no others."""
    pace = CampaignPace(0, 5)
    for number in range(5):
        go(world.store, asking(number, pace))
        go(world.store, asking(100 + number, None))
        advance(world, SECOND)
    waits = [world.store.admit(asking(number, pace)) for number in (5, 6)]
    midnight = (world.now // DAY + 1) * DAY
    assert waits == [Wait("campaign_day", midnight)] * 2
    go(world.store, asking(7, None))
    world.set(midnight + SECOND)
    for number in (5, 6):
        go(world.store, asking(number, pace))
        advance(world, SECOND)


@pytest.mark.parametrize("interval", [5 * SECOND, 60 * SECOND])
def test_a_slow_pace_of_many_processes(world: World, interval: int) -> None:
    """Nobody has a place farther ahead than jobs are kept for, so that no token waits for a job that is gone."""
    pace = CampaignPace(interval, 0)
    began = world.now
    # Jobs of which each stands for a process's: those without a place are forgotten, and others ask in their stead.
    waiting: list[tuple[int, int, AdmitRequest]] = []
    asks = [(began, number, asking(number, pace)) for number in range(40)]
    calls, number = 0, 40
    for at in range(0, 40 * interval, SECOND // 2):
        world.set(began + at)
        due, waiting = (
            [each for each in asks + waiting if each[0] <= world.now],
            [each for each in asks + waiting if each[0] > world.now],
        )
        asks = []
        for _, _, request in due:
            reply = world.store.admit(request)
            number += 1
            if isinstance(reply, Grant):
                calls += 1
                waiting.append((world.now, number, asking(number, pace)))
            else:
                assert isinstance(reply, Wait)
                assert reply.place is None or reply.place <= world.now + FARTHEST_PLACE
                again = placed(request, reply) if reply.place is not None else asking(number, pace)
                waiting.append((reply.until, number, again))
    assert calls >= 39


def test_a_place_that_nobody_takes(world: World) -> None:
    """The token of a job that is gone is the next one's."""
    pace = CampaignPace(5 * SECOND, 0)
    go(world.store, asking(1, pace))
    gone = world.store.admit(asking(2, pace))
    assert isinstance(gone, Wait)
    world.set(gone.until + SECOND)
    go(world.store, asking(3, pace))


def test_no_faster_than_its_shop(world: World) -> None:
    """A pace above the shop's is the shop's."""
    pace = CampaignPace(SECOND // 1000, 0)
    granted = [world.store.admit(asking(number, pace)) for number in range(5)]
    assert sum(isinstance(reply, Grant) for reply in granted) == 1


def test_what_it_asks_ahead(ahead: World) -> None:
    """Shared by processes, a job asks for its place before it, and its call may start then and not before."""
    go(ahead.store, asking(1))
    waits = []
    for number in range(2, 8):
        reply = ahead.store.admit(asking(number))
        if isinstance(reply, Wait):
            waits.append((number, reply))
    for number, wait in waits:
        assert wait.place is not None
        assert wait.until == max(wait.place - HORIZON, ahead.now)
        ahead.set(wait.until)
        reply = submitted(ahead.store, [placed(asking(number), wait)], turn=True)[0]
        assert isinstance(reply, Grant)
        assert reply.start_at >= wait.place


def test_a_pace_that_was_raised(world: World) -> None:
    """What a slower pace has taken in advance holds nobody back any more."""
    slow = CampaignPace(3600 * SECOND, 0)
    go(world.store, asking(1, slow))
    assert isinstance(world.store.admit(asking(2, slow)), Wait)
    advance(world, SECOND)
    wait = world.store.admit(asking(3))
    assert isinstance(wait, Wait)
    assert wait.until <= world.now + 3 * SECOND // 10


def test_both_stores_pace_alike(shared: RedisWorld) -> None:
    """Whatever asks in whatever order, both grant and refuse the same, to the microsecond."""
    steps = st.lists(st.tuples(st.integers(0, 9), st.booleans(), st.integers(0, 400_000)), max_size=40)

    @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
    @given(steps, st.sampled_from([TEN, CampaignPace(0, 7), CampaignPace(SECOND // 3, 9)]))
    def check(asked: list[tuple[int, bool, int]], pace: CampaignPace) -> None:
        memory = MemoryWorld(horizon=HORIZON)
        memory.set(shared.now)
        shared.renew()
        places: dict[int, Wait] = {}
        for number, paced, later in asked:
            request = asking(number, pace if paced else None)
            if paced and number in places:
                request = placed(request, places[number])
            if not paced:
                request = replace(request, job_id=f"{number + 100:032x}")
            replies = []
            for world in (memory, shared):
                replies.append(submitted(world.store, [request], turn=True)[0])
                advance(world, later)
            ours, theirs = replies
            if isinstance(ours, Grant):
                assert isinstance(theirs, Grant)
                assert (ours.start_at, ours.calls_today) == (theirs.start_at, theirs.calls_today)
            else:
                assert ours == theirs
            if isinstance(ours, Wait) and ours.scope == "campaign":
                places[number] = ours
        memory.close()

    check()
