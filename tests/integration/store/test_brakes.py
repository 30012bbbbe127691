"""What stops a campaign that goes wrong, on either store alike."""

from collections.abc import Sequence
from dataclasses import replace

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.integration.store.worlds import RESULT, MemoryWorld, RedisWorld, World, advance, flush
from tests.origins import KIM
from tests.unit.making import go, make_limits, make_request
from worker.instants import SECOND
from worker.limits.token_bucket import Rate
from worker.model.campaign_orders import NO_BRAKE, Brake, Hold
from worker.model.controls import EVERY_SHOP, Controls
from worker.model.outcomes import Outcome
from worker.store.braking import Braking
from worker.store.protocol import Store

LIMITS = make_limits(shop=Rate(1, 10**6))
CAMPAIGN = "frühling"
Result = tuple[Outcome, str | None]
SENT: Result = ("sent", None)
BAD: Result = ("rejected", "no_customers_match_customer_identity")


def armed(world: World, share: int = 20, window: int = 10) -> Brake:
    """The brake, as workers know it."""
    brake = Brake(share, window)
    controls = world.store.publish_campaign(CAMPAIGN, EVERY_SHOP, KIM, rest=None, brake=brake, detail="")
    return brake_of(controls)


def brake_of(controls: Controls, shop: str = "acme") -> Brake:
    """The brake that is in force."""
    order = controls.order_about(CAMPAIGN, shop)
    assert order is not None
    assert order.brake is not None
    return order.brake


def hold_of(store: Store, shop: str = "acme") -> Hold | None:
    """Why the campaign is held."""
    order = store.controls().order_about(CAMPAIGN, shop)
    return order.hold if order is not None else None


class Campaign:
    """Jobs of one campaign, whose results count for a brake."""

    def __init__(self, world: World, shop: str = "acme") -> None:
        self._world = world
        self._shop = shop
        # A job's id has its shop in it.
        self._number = 0 if shop == "acme" else 1_000
        self.heard = 0
        self.name = CAMPAIGN

    def end(self, brake: Brake, results: Sequence[Result]) -> None:
        """The next jobs end so."""
        for outcome, code in results:
            self._number += 1
            request = replace(
                make_request(self._number, shop=self._shop, customer=f"c{self._number}", limits=LIMITS),
                campaign=self.name,
            )
            if outcome in {"expired", "cancelled"}:
                request = replace(request, uncalled="expired")
            grant = go(self._world.store, request)
            assert self._world.store.answer(request, grant.epoch, RESULT)
            self._world.store.settle(request, grant.epoch, outcome, code, braking=Braking(brake, self._hear))
            # A second settling, of a copy, counts nothing.
            self._world.store.settle(request, grant.epoch, outcome, code, braking=Braking(brake, self._hear))
        # What the last one has led to is sent after this, and answered before the next.
        flush(self._world.store)
        flush(self._world.store)

    def _hear(self) -> None:
        self.heard += 1


def test_more_than_its_share(world: World) -> None:
    """Only a full window counts, and only more than the share: then the campaign is held at that shop, once."""
    brake, campaign = armed(world), Campaign(world)
    campaign.end(brake, [BAD, BAD, ("failed", None), *[SENT] * 6])
    assert (hold_of(world.store), campaign.heard) == (None, 0)
    advance(world, SECOND)
    campaign.end(brake, [SENT])
    reason = "3 of the last 10 results are rejected or failed, 2 of them no_customers_match_customer_identity"
    assert hold_of(world.store) == Hold("brake", reason, world.now)
    assert (hold_of(world.store, "bolt"), campaign.heard) == (None, 1)
    campaign.end(brake, [BAD, BAD])
    (order, published) = world.store.orders()
    assert (order.action, order.campaign, order.shop, order.reason) == ("brake", CAMPAIGN, "acme", reason)
    assert (order.by.partition("@")[0], order.detail, published.action) == ("worker", "20%/10", "publish")


def test_what_does_not_count(world: World) -> None:
    """A fifth of bad results is the share that it may have; what ended without a call, or by passing trouble of
    Refer2's, is neither good nor bad."""
    brake, campaign = armed(world), Campaign(world)
    campaign.end(brake, [BAD, SENT, SENT, SENT, SENT] * 6)
    campaign.end(brake, [("expired", None), ("cancelled", "suppressed")] * 10)
    trouble = ("http_503", "http_500", "http_408", "timeout", "connection_lost", "unanswered")
    campaign.end(brake, [("failed", code) for code in trouble] * 5)
    campaign.end(brake, [("unknown", "timeout"), ("unknown", "interrupted")] * 20)
    assert hold_of(world.store) is None
    campaign.end(brake, [BAD])
    assert hold_of(world.store) is None
    campaign.end(brake, [BAD])
    assert hold_of(world.store) is not None


def test_resumed(world: World) -> None:
    """It is armed anew for this shop alone, and counts from nothing; results by the earlier one count no more."""
    brake, campaign, other = armed(world), Campaign(world), Campaign(world, "bolt")
    other.end(brake, [SENT] * 7 + [BAD] * 2)
    campaign.end(brake, [BAD] * 10)
    advance(world, SECOND)
    controls = world.store.resume_campaign(CAMPAIGN, "acme", KIM)
    anew = brake_of(controls)
    assert (anew.armed > brake.armed, brake_of(controls, "bolt")) == (True, brake)
    campaign.end(anew, [BAD] * 9)
    campaign.end(brake, [BAD] * 5)
    assert hold_of(world.store) is None
    other.end(brake, [BAD])
    assert hold_of(world.store, "bolt") is not None
    campaign.end(anew, [BAD])
    assert hold_of(world.store) is not None


def test_published_once_more(world: World) -> None:
    """The same brake goes on where it was; another one, or one that is armed anew, counts from nothing: also where a
    shop has its own since it was stopped."""
    brake, campaign = armed(world), Campaign(world)
    campaign.end(brake, [BAD] * 10)
    advance(world, SECOND)
    anew = brake_of(world.store.resume_campaign(CAMPAIGN, "acme", KIM))
    campaign.end(anew, [BAD] * 9)

    def published(share: int, *, again: bool) -> Brake:
        advance(world, SECOND)
        given = Brake(share, 10)
        return brake_of(
            world.store.publish_campaign(CAMPAIGN, EVERY_SHOP, KIM, rest=None, brake=given, detail="", anew=again)
        )

    same = published(20, again=False)
    assert (same.armed, same.until > anew.until) == (anew.armed, True)
    renewed = published(20, again=True)
    assert renewed.armed > same.armed
    campaign.end(renewed, [BAD] * 9)
    assert hold_of(world.store) is None
    other = published(30, again=False)
    assert (str(other), other.armed > renewed.armed) == ("30%/10", True)
    campaign.end(other, [BAD] * 9)
    assert hold_of(world.store) is None
    campaign.end(other, [BAD])
    assert hold_of(world.store) is not None


def test_the_usual_brake(world: World) -> None:
    """Which nobody has asked for, replaces none that somebody has, be it that of all shops or a shop's own."""

    def published(shop: str, share: int, *, usual: bool) -> Brake:
        advance(world, SECOND)
        given = Brake(share, 10)
        world.store.publish_campaign(CAMPAIGN, shop, KIM, rest=None, brake=given, detail="", usual=usual)
        return brake_of(world.store.controls(), "acme")

    strict = published(EVERY_SHOP, 5, usual=False)
    kept = published("acme", 50, usual=True)
    assert (str(kept), kept.armed, kept.until > strict.until) == ("5%/10", strict.armed, True)
    assert str(published("acme", 10, usual=False)) == "10%/10"
    assert str(published(EVERY_SHOP, 50, usual=True)) == "10%/10"
    assert str(brake_of(world.store.controls(), "bolt")) == "5%/10"


def test_none(world: World) -> None:
    """Takes away one that is there, and whatever comes then is let pass."""
    assert armed(world).trips
    advance(world, SECOND)
    controls = world.store.publish_campaign(CAMPAIGN, EVERY_SHOP, KIM, rest=None, brake=NO_BRAKE, detail="")
    brake = brake_of(controls)
    assert (brake.trips, str(brake)) == (False, "none")
    Campaign(world).end(brake, [BAD] * 30)
    assert hold_of(world.store) is None


def test_one_campaign_however_it_is_spelled(world: World) -> None:
    """As for job ids: composed or not, and with blanks around it."""
    brake, campaign = armed(world), Campaign(world)
    campaign.end(brake, [BAD] * 5)
    campaign.name = " fru\u0308hling "
    campaign.end(brake, [BAD] * 5)
    assert hold_of(world.store) is not None


def test_cancelled(world: World) -> None:
    """Its jobs end, so that nothing holds it any more; its brake stays, and counts from nothing."""
    brake, campaign = armed(world), Campaign(world)
    campaign.end(brake, [BAD] * 10)
    advance(world, SECOND)
    world.store.pace_campaign(CAMPAIGN, EVERY_SHOP, SECOND, 0, KIM)
    world.store.publish_campaign("autumn", "acme", KIM, rest=Hold("first", "", 0), brake=None, detail="")
    world.store.cancel(CAMPAIGN, "acme", KIM)
    world.store.cancel("autumn", EVERY_SHOP, KIM)
    controls = world.store.controls()
    order = controls.order_about(CAMPAIGN, "acme")
    assert order is not None
    assert (order.hold, order.interval, brake_of(controls).armed > brake.armed) == (None, SECOND, True)
    world.store.cancel(CAMPAIGN, EVERY_SHOP, KIM)
    order = world.store.controls().order_about(CAMPAIGN, "acme")
    assert order is not None
    assert order.interval == 0
    assert controls.order_about("autumn", "acme") is None


def test_a_late_result_holds_nobody(world: World) -> None:
    """Between the order that arms it anew and a worker that has not heard of it, the earlier brake holds nothing."""
    brake, campaign = armed(world), Campaign(world)
    campaign.end(brake, [BAD] * 9)
    advance(world, SECOND)
    world.store.resume_campaign(CAMPAIGN, EVERY_SHOP, KIM)
    campaign.end(brake, [BAD])
    assert hold_of(world.store) is None


def test_many_codes(world: World) -> None:
    """Codes come from outside: beyond 254 they are one, and the leading one is still found."""
    brake, campaign = armed(world, 99, 300), Campaign(world)
    campaign.end(brake, [*[("rejected", f"code{number}") for number in range(280)], *[BAD] * 20])
    held = hold_of(world.store)
    assert held is not None
    assert held.reason.startswith("300 of the last 300 results are rejected or failed, ")


def test_both_stores_brake_alike(shared: RedisWorld) -> None:
    """Whatever comes in whatever order, both stop at the same result."""
    results = st.sampled_from([SENT, BAD, ("rejected", "other"), ("failed", "http_503"), ("expired", None)])

    @settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(results, max_size=40), st.sampled_from([10, 50, 90]), st.integers(1, 12))
    def check(ends: list[Result], share: int, window: int) -> None:
        memory = MemoryWorld()
        memory.set(shared.now)
        shared.renew()
        campaigns = [(world, Campaign(world), armed(world, share, window)) for world in (memory, shared)]
        for end in ends:
            held = []
            for world, campaign, brake in campaigns:
                campaign.end(brake, [end])
                held.append(hold_of(world.store) is not None)
            assert held[0] == held[1]
        assert campaigns[0][1].heard == campaigns[1][1].heard

    check()
