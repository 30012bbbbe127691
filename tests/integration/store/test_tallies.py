"""Counts of campaigns, on either store."""

from collections import Counter
from dataclasses import replace

from tests.integration.store.worlds import RESULT, RedisWorld, World, advance, flush
from tests.unit.making import go, make_request
from worker.instants import DAY
from worker.model.outcomes import Outcome
from worker.store.counting import MOST_CAMPAIGNS, MOST_COUNTERS, OTHER_CAMPAIGNS


def end(world: World, number: int, outcome: Outcome, code: str | None, campaign: str = "frühling") -> None:
    """Take a job of a campaign through to its end, and settle it twice, as after a lost confirm."""
    request = replace(make_request(number), campaign=campaign)
    grant = go(world.store, request)
    assert world.store.answer(request, grant.epoch, RESULT)
    for _ in range(2):
        world.store.settle(request, grant.epoch, outcome, code)


def test_tallies(world: World) -> None:
    """Each job is counted once, by campaign, outcome, and code where it says more; a shop sees only its campaigns."""
    store = world.store
    store.tally("acme", "frühling", {"published": 4})
    store.tally("acme", "frühling", {"published": 2, "duplicate": 1})
    end(world, 1, "sent", None)
    end(world, 2, "rejected", "rule")
    end(world, 3, "rejected", "rule")
    end(world, 4, "failed", "http_503")
    end(world, 5, "sent", None, "sommer")
    end(world, 6, "cancelled", "suppressed", "sommer")
    end(world, 7, "cancelled", None, "sommer")
    counted = {"sent": 1, "cancelled:suppressed": 2, "cancelled": 2}
    assert store.tallies("acme") == {
        "frühling": {"published": 6, "duplicate": 1, "sent": 1, "rejected:rule": 2, "failed": 1},
        "sommer": counted,
    }
    assert store.tallies("zeta") == {}


def test_an_old_campaign_still_counts(world: World) -> None:
    """Counts outlive the days of a campaign."""
    world.store.tally("acme", "spring", {"published": 1})
    advance(world, 29 * DAY)
    assert world.store.tallies("acme") == {"spring": {"published": 1}}


def test_how_long_counts_are_kept(shared: RedisWorld) -> None:
    """From when the campaign was last published, or had something new, and not from each of its jobs on."""
    store, key = shared.store, "rd:{acme}:k:spring"

    def lives_until() -> int:
        flush(store)
        ends = {int(shared.client.pexpiretime(name)) for name in (key, "rd:{acme}:k")}
        assert len(ends) == 1
        return ends.pop()

    store.tally("acme", "spring", {"published": 1})
    end(shared, 1, "sent", None, "spring")
    first = lives_until()
    advance(shared, 20 * DAY)
    end(shared, 2, "sent", None, "spring")
    assert lives_until() == first
    store.tally("acme", "spring", {"published": 1})
    assert lives_until() > first


def test_a_campaign_whose_counts_have_expired(shared: RedisWorld) -> None:
    """It is listed no more, and its name is forgotten."""
    for campaign in ("spring", "summer"):
        shared.store.tally("acme", campaign, {"published": 1})
    flush(shared.store)
    shared.client.delete("rd:{acme}:k:spring")
    assert shared.store.tallies("acme") == {"summer": {"published": 1}}
    assert shared.client.hkeys("rd:{acme}:k") == [b"summer"]


def test_what_made_room_is_gone(shared: RedisWorld) -> None:
    """Of a campaign whose counts went to those without a name nothing stays behind."""
    pipe = shared.client.pipeline()
    for number in range(MOST_CAMPAIGNS):
        pipe.hset("rd:{acme}:k", f"over {number}", 1)
        pipe.hset(f"rd:{{acme}}:k:over {number}", "sent", 1)
    pipe.execute()
    shared.store.tally("acme", "spring", {"published": 10})
    flush(shared.store)
    named = {b"rd:{acme}:k:" + name for name in shared.client.hkeys("rd:{acme}:k")}
    assert len(named) < MOST_CAMPAIGNS
    assert set(shared.client.keys("rd:{acme}:k:*")) == named


def test_codes_are_bounded(world: World) -> None:
    """However many codes a shop makes up, nothing is lost from the sum, and suppressed jobs count as such."""
    for number in range(220):
        end(world, number + 1, "rejected", f"rule_{number}")
    end(world, 221, "cancelled", "suppressed")
    counts = world.store.tallies("acme")["frühling"]
    # A job without a call is counted by each settling.
    assert counts["cancelled:suppressed"] == 2
    assert sum(counts.values()) == 222
    assert len(counts) <= 202


def test_campaigns_are_bounded(world: World) -> None:
    """However many names a producer makes up, a shop keeps so many; campaigns under way keep theirs, no job is lost."""
    store = world.store
    store.tally("acme", "spring", {"published": 10})
    for number in range(3 * MOST_CAMPAIGNS):
        counter = f"rejected:rule_{number}" if number % 10 else "cancelled:suppressed"
        store.tally("acme", f"made up {number}", {"published": 1, counter: 1})
    end(world, 1, "sent", None, "spring")
    store.tally("acme", "summer", {"published": 5})
    end(world, 2, "sent", None, "summer")

    tallies = store.tallies("acme")

    assert tallies["spring"] == {"published": 10, "sent": 1}
    assert tallies["summer"] == {"published": 5, "sent": 1}
    assert len(tallies) <= MOST_CAMPAIGNS + 1
    assert len(tallies[OTHER_CAMPAIGNS]) <= MOST_COUNTERS + 2
    assert "cancelled:other" not in tallies[OTHER_CAMPAIGNS]
    counts = Counter[str]()
    for counters in tallies.values():
        counts.update({counter.partition(":")[0]: number for counter, number in counters.items() if ":" not in counter})
        counts["with a code"] += sum(number for counter, number in counters.items() if ":" in counter)
    assert counts == {"published": 15 + 3 * MOST_CAMPAIGNS, "with a code": 3 * MOST_CAMPAIGNS, "sent": 2}


def test_names_beyond_those_under_way(world: World) -> None:
    """Where every campaign has jobs left, a new one is counted with the other new ones."""
    for number in range(MOST_CAMPAIGNS + 10):
        world.store.tally("acme", f"campaign {number}", {"published": 2})
    tallies = world.store.tallies("acme")
    assert tallies["campaign 0"] == {"published": 2}
    assert sum(counters["published"] for counters in tallies.values()) == 2 * (MOST_CAMPAIGNS + 10)
    assert MOST_CAMPAIGNS <= len(tallies) <= MOST_CAMPAIGNS + 1


def test_names_of_an_earlier_version(redis_url: str) -> None:
    """60,000 that it left are read in pages and hold nobody up; campaigns under way keep their names among them."""
    world = RedisWorld(redis_url, horizon=0)
    try:
        pipe = world.client.pipeline()
        for number in range(60_000):
            pipe.hset("rd:{acme}:k", f"made up {number}", 1)
            pipe.hset(f"rd:{{acme}}:k:made up {number}", "sent", 1)
        pipe.execute()
        world.store.tally("acme", "spring", {"published": 10})
        world.client.config_resetstat()

        tallies = world.store.tallies("acme")

        assert tallies["spring"] == {"published": 10}
        assert sum(counters.get("sent", 0) for counters in tallies.values()) == 60_000
        asked = world.client.info("commandstats")["cmdstat_evalsha"]
        assert asked["calls"] > 300
    finally:
        world.close()
