"""A campaign that is held: its jobs step aside for the shop's others, wait in the held lane, and come back in order."""

import time
from collections import Counter
from collections.abc import Sequence
from itertools import count

import pytest

from tests.integration.rabbitmq.bench import SENT, Bench, FakeRefer2, ShiftedClock, declare, message_of, new_shop
from tests.integration.rabbitmq.tap import Tap
from tests.origins import KIM
from tests.services import Vhost, wait_until
from worker.instants import SECOND, to_datetime
from worker.model.campaign_orders import Brake, Hold
from worker.model.controls import EVERY_SHOP
from worker.model.job import Customer, Job
from worker.model.lanes import ShopLane
from worker.model.verdicts import Retry, Verdict
from worker.rabbitmq.connection import parameters
from worker.rabbitmq.lane_making import make_lanes
from worker.rabbitmq.topology import JOBS, shop_queue
from worker.scheduling.looks import SETTLED

HELD, BULK = shop_queue("acme", "held"), shop_queue("acme", "bulk")


@pytest.fixture(autouse=True)
def _declared(vhost: Vhost) -> None:
    declare(vhost)


def put(tap: Tap, campaign: str, numbers: Sequence[int], key: str = "acme", *, published_at: int | None = None) -> None:
    """Publish these jobs of the campaign."""
    for number in numbers:
        job = Job.create(
            shop="acme",
            campaign=campaign,
            customer=Customer(shopid=f"{campaign}{number}"),
            channel="whatsapp",
            line=number,
            published_at=to_datetime(published_at) if published_at is not None else None,
        )
        tap.put(JOBS, key, message_of(job))


def called(refer: FakeRefer2) -> Counter[str]:
    """How many calls each campaign had."""
    return Counter(call.job.campaign for call in list(refer.calls))


def test_it_steps_aside_and_comes_back_in_order(vhost: Vhost, tap: Tap) -> None:
    """None of it is called while it is paused, the shop's others are, and then each of it once, as it was published."""
    put(tap, "spring", range(600))
    put(tap, "summer", range(40))
    refer = FakeRefer2()
    bench = Bench(vhost, [new_shop()], refer)
    bench.store.pause_campaign("spring", EVERY_SHOP, KIM)
    with bench:
        wait_until(
            lambda: called(refer)["summer"] == 40 and bench.count("held_moves") >= 600, 30, "summer to be called"
        )
        assert called(refer)["spring"] == 0
        wait_until(lambda: tap.depth(BULK) == 0, 10, "the shop's queue to be empty")
        assert bench.count("campaigns_held", kind="paused") == 1
        bench.store.resume_campaign("spring", EVERY_SHOP, KIM)
        wait_until(lambda: called(refer)["spring"] >= 600, 30, "spring to be called")
    lines = [call.job.line for call in refer.calls if call.job.campaign == "spring"]
    assert sorted(line for line in lines if line is not None) == list(range(600))
    # Eight threads call at once.
    assert max(abs((line or 0) - place) for place, line in enumerate(lines)) < 32
    assert set(refer.per_job().values()) == {1}


def test_a_lane_rests_where_nothing_may_go(vhost: Vhost, tap: Tap) -> None:
    """Of two held campaigns one is resumed: the other goes to the lane's end once, and then nothing moves."""
    put(tap, "spring", range(100))
    put(tap, "summer", range(100))
    refer = FakeRefer2()
    bench = Bench(vhost, [new_shop()], refer)
    for campaign in ("spring", "summer"):
        bench.store.pause_campaign(campaign, "acme", KIM)
    with bench:
        wait_until(lambda: bench.count("held_moves") >= 200, 30, "both to step aside")
        bench.store.resume_campaign("summer", "acme", KIM)
        wait_until(lambda: called(refer)["summer"] == 100, 30, "summer to be called")
        put(tap, "autumn", range(20))
        wait_until(lambda: called(refer)["autumn"] == 20, 30, "the shop's other jobs to be called")
        batches, moved = count(1), [(bench.count("held_moves"), time.monotonic())]

        def rests() -> bool:
            winter = 50 * next(batches)
            put(tap, "winter", range(winter - 50, winter))
            wait_until(lambda: called(refer)["winter"] == winter, 30, "more of them")
            if bench.count("held_moves") != moved[-1][0]:
                moved.append((bench.count("held_moves"), time.monotonic()))
            return time.monotonic() > moved[-1][1] + 3

        wait_until(rests, 30, "three seconds in which nothing moves")
        assert bench.count("held_moves") <= 320
        assert called(refer)["spring"] == 0
        bench.store.cancel("spring", "acme", KIM)
        wait_until(lambda: bench.count("results", outcome="cancelled") == 100, 30, "what was held to end")
    assert called(refer)["spring"] == 0


def test_a_pace_keeps_nobody_waiting(vhost: Vhost, tap: Tap) -> None:
    """A campaign at ten calls a second in front of another: that one goes at the shop's pace, and none is above it."""
    put(tap, "spring", range(300))
    put(tap, "summer", range(200))
    refer = FakeRefer2()
    bench = Bench(vhost, [new_shop()], refer)
    bench.store.pace_campaign("spring", "acme", SECOND // 10, 0, KIM)
    with bench:
        wait_until(lambda: called(refer)["summer"] == 200, 30, "summer to be called")
        before = called(refer)["spring"]
        assert before < 150
        wait_until(lambda: called(refer)["spring"] >= before + 40, 30, "spring to go on")
    at = [call.at for call in refer.calls if call.job.campaign == "spring"]
    assert len(at) <= (at[-1] - at[0]) * 10 + 2
    last = at[-40:]
    # Little is left unused, whatever waits at the gate and moves between the lanes.
    assert last[-1] - last[0] < 39 / 10 * 1.25


def test_a_slow_campaign_keeps_no_other_from_its_pace(vhost: Vhost, tap: Tap) -> None:
    """Behind a thousand jobs of a campaign at one call a second, one at twenty has its own, each job moved once."""
    put(tap, "spring", range(1_000))
    put(tap, "summer", range(200))
    refer = FakeRefer2()
    bench = Bench(vhost, [new_shop()], refer)
    bench.store.pace_campaign("spring", EVERY_SHOP, SECOND, 0, KIM)
    bench.store.pace_campaign("summer", EVERY_SHOP, SECOND // 20, 0, KIM)
    with bench:
        wait_until(lambda: called(refer)["summer"] == 200, 60, "summer to be called")
    at = [call.at for call in refer.calls if call.job.campaign == "summer"]
    # The last ones, since the first come while both are moved aside.
    assert at[-1] - at[-150] < 149 / 20 * 1.25
    assert bench.count("held_moves") <= 1_200
    lines = [call.job.line or 0 for call in refer.calls if call.job.campaign == "summer"]
    # But for what is in hand while a lane fills: on a slow machine one of these may miss its place.
    assert sum(abs(line - place) >= 32 for place, line in enumerate(lines)) <= 16


def test_the_rest_of_an_export(vhost: Vhost, tap: Tap) -> None:
    """What was published into the held lane waits until it is released, or for its time; the first of it are called."""
    refer = FakeRefer2()
    with Bench(vhost, [new_shop()], refer) as bench:
        now = bench.context.clock.now()
        for campaign, rest in {
            "spring": Hold("first", "", 0),
            "summer": Hold("start", "", 0, now + 8 * SECOND),
        }.items():
            bench.store.publish_campaign(campaign, "acme", KIM, rest=rest, brake=None, detail="")
        bench.store.pause_campaign("autumn", "acme", KIM)
        wait_until(lambda: bench.count("campaigns_held") == 3, 20, "the worker to know")
        put(tap, "spring", range(10))
        wait_until(lambda: called(refer)["spring"] == 10, 20, "the first of it")
        # Its lane is there once somebody has held a job.
        put(tap, "autumn", [1])
        wait_until(lambda: bench.store.controls().lanes, 20, "the lane")
        put(tap, "spring", range(10, 60), "acme.held")
        put(tap, "summer", range(30), "acme.held")
        wait_until(lambda: called(refer)["summer"] == 30, 30, "the start")
        assert bench.context.clock.now() >= now + 8 * SECOND
        assert called(refer)["spring"] == 10
        bench.store.release_campaign("spring", EVERY_SHOP, KIM)
        wait_until(lambda: called(refer)["spring"] == 60, 20, "the rest")
    assert called(refer)["autumn"] == 0


def test_an_order_about_another_campaign_leaves_the_lane_alone(vhost: Vhost, tap: Tap) -> None:
    """Of what is published into it meanwhile, half would come before the other if the lane were turned over."""
    refer, clock = FakeRefer2(), ShiftedClock()
    bench = Bench(vhost, [new_shop()], refer, clock=clock)
    make_lanes(parameters(vhost.url, name="tested"), [ShopLane("acme", "held")], bench.store)
    with bench:
        bench.store.publish_campaign("spring", EVERY_SHOP, KIM, rest=Hold("first", "", 0), brake=None, detail="")
        bench.store.pause_campaign("winter", EVERY_SHOP, KIM)
        wait_until(lambda: bench.count("campaigns_held") == 2, 20, "the worker to know")
        bench.store.resume_campaign("winter", EVERY_SHOP, KIM)
        wait_until(lambda: bench.count("campaigns_held") == 1, 20, "the worker to know")
        put(tap, "spring", range(10), "acme.held", published_at=bench.context.clock.now())
        wait_until(lambda: tap.depth(HELD) == 0, 20, "the worker to have them in hand")
        clock.shift = SETTLED + SECOND
        bench.store.pause_campaign("winter", EVERY_SHOP, KIM)
        wait_until(lambda: bench.count("campaigns_held") == 2, 20, "the worker to have looked")
        assert bench.count("held_moves") == 0
        bench.store.release_campaign("spring", EVERY_SHOP, KIM)
        wait_until(lambda: called(refer)["spring"] == 10, 20, "the rest")


def test_a_paced_campaign_goes_on_behind_a_paused_one(vhost: Vhost, tap: Tap) -> None:
    """What is over its pace goes into the held lane, behind jobs that may not go for days."""
    refer = FakeRefer2()
    bench = Bench(vhost, [new_shop()], refer)
    bench.store.pause_campaign("spring", EVERY_SHOP, KIM)
    bench.store.pace_campaign("summer", EVERY_SHOP, SECOND // 20, 0, KIM)
    put(tap, "spring", range(60))
    with bench:
        wait_until(lambda: bench.count("held_moves") >= 60, 20, "spring to step aside")
        put(tap, "summer", range(100))
        wait_until(lambda: called(refer)["summer"] == 100, 30, "summer to be called")
    assert called(refer)["spring"] == 0
    assert set(refer.per_job().values()) == {1}


def test_a_repeat_does_not_go_behind_a_paused_campaign(vhost: Vhost, tap: Tap) -> None:
    """Jobs that were held, and whose calls are to be repeated, come back by the shop's own queue."""
    seen: Counter[str] = Counter()

    def answer(job: Job) -> Verdict:
        seen[job.job_id] += 1
        return SENT if seen[job.job_id] > 1 or (job.line or 0) % 4 else Retry(503, "http_503")

    bench = Bench(vhost, [new_shop()], FakeRefer2(answer))
    for campaign in ("spring", "summer"):
        bench.store.pause_campaign(campaign, EVERY_SHOP, KIM)
        put(tap, campaign, range(60))
    with bench:
        wait_until(lambda: bench.count("held_moves") >= 120, 20, "both to step aside")
        bench.store.resume_campaign("summer", EVERY_SHOP, KIM)
        wait_until(lambda: bench.count("results", outcome="sent") == 60, 30, "summer to be sent")


def test_what_is_put_behind_a_lane_at_rest_is_found(vhost: Vhost, tap: Tap) -> None:
    """The rest of an export that was released while it was still being published."""
    refer = FakeRefer2()
    bench = Bench(vhost, [new_shop()], refer)
    bench.store.pause_campaign("spring", EVERY_SHOP, KIM)
    put(tap, "spring", range(60))
    with bench:
        wait_until(lambda: bench.count("held_moves") >= 60, 20, "spring to step aside")
        bench.store.publish_campaign("summer", EVERY_SHOP, KIM, rest=Hold("first", "", 0), brake=None, detail="")
        put(tap, "summer", range(20), "acme.held")
        bench.store.release_campaign("summer", EVERY_SHOP, KIM)
        wait_until(lambda: called(refer)["summer"] == 20, 30, "what was there to be called")
        put(tap, "summer", range(20, 40), "acme.held")
        wait_until(lambda: called(refer)["summer"] == 40, 30, "what came later to be called")
    assert called(refer)["spring"] == 0


def test_the_first_jobs_are_not_the_rest_where_a_pace_moves_them(vhost: Vhost, tap: Tap) -> None:
    """What is over its pace waits in a lane of its own, which a publisher's hold of the rest says nothing about."""
    refer = FakeRefer2()
    bench = Bench(vhost, [new_shop()], refer)
    bench.store.publish_campaign("spring", EVERY_SHOP, KIM, rest=Hold("first", "", 0), brake=None, detail="")
    bench.store.pace_campaign("spring", EVERY_SHOP, SECOND // 20, 0, KIM)
    make_lanes(parameters(vhost.url, name="tested"), [ShopLane("acme", "held")], bench.store)
    with bench:
        put(tap, "spring", range(100))
        put(tap, "spring", range(100, 120), "acme.held")
        wait_until(lambda: called(refer)["spring"] == 100, 30, "the first of it to be called")
        assert bench.count("held_moves") > 0
    assert max(call.job.line or 0 for call in refer.calls) < 100


def test_an_outage_trips_no_brake(vhost: Vhost, tap: Tap) -> None:
    """While Refer2 fails for everybody no job ends as failed, so a brake of one in a hundred holds nothing."""
    put(tap, "spring", range(150))
    ends_at = time.monotonic() + 6

    def answer(_: Job) -> Verdict:
        return SENT if time.monotonic() > ends_at else Retry(503, "http_503")

    refer = FakeRefer2(answer)
    bench = Bench(vhost, [new_shop()], refer)
    bench.store.publish_campaign("spring", "acme", KIM, rest=None, brake=Brake(1, 10), detail="")
    with bench:
        wait_until(lambda: bench.count("results", outcome="sent") == 150, 120, "all to be sent")
        assert bench.count("campaigns_held", kind="brake") == 0
    assert len(refer.calls) < 250
