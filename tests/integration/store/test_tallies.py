"""Counts of campaigns, on either store."""

from dataclasses import replace

from tests.integration.store.worlds import RESULT, World, advance
from tests.unit.making import go, make_ask
from worker.clock import DAY
from worker.jobs import Outcome


def end(world: World, number: int, outcome: Outcome, code: str | None, campaign: str = "frühling") -> None:
    """Take a job of a campaign through to its end, and settle it twice, as after a lost confirm."""
    ask = replace(make_ask(number), campaign=campaign)
    grant = go(world.store, ask)
    assert world.store.answer(ask, grant.epoch, RESULT)
    for _ in range(2):
        world.store.settle(ask, grant.epoch, outcome, code)


def test_tallies(world: World) -> None:
    """Each job is counted once, by campaign, outcome and code of a rejection; a shop sees its own campaigns only."""
    store = world.store
    store.tally("acme", "frühling", {"published": 4})
    store.tally("acme", "frühling", {"published": 2, "duplicate": 1})
    end(world, 1, "sent", None)
    end(world, 2, "rejected", "rule")
    end(world, 3, "rejected", "rule")
    end(world, 4, "failed", "http_503")
    end(world, 5, "sent", None, "sommer")
    assert store.tallies("acme") == {
        "frühling": {"published": 6, "duplicate": 1, "sent": 1, "rejected:rule": 2, "failed": 1},
        "sommer": {"sent": 1},
    }
    assert store.tallies("zeta") == {}


def test_an_old_campaign_still_counts(world: World) -> None:
    """Counts outlive the days of a campaign."""
    world.store.tally("acme", "spring", {"published": 1})
    advance(world, 29 * DAY)
    assert world.store.tallies("acme") == {"spring": {"published": 1}}


def test_codes_are_bounded(world: World) -> None:
    """However many codes a shop makes up, nothing is lost from the sum."""
    for number in range(220):
        end(world, number + 1, "rejected", f"rule_{number}")
    counts = world.store.tallies("acme")["frühling"]
    assert sum(counts.values()) == 220
    assert len(counts) <= 201
