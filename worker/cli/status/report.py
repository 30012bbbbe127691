"""The report of `referrals status`, from whatever the store, RabbitMQ and the shops file could say. Pure."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from worker.campaigns.progress import Progress, unaccounted
from worker.cli.campaigns.view import order_data
from worker.cli.shop_view import GateView, gate_of, limit_data, reserve_data
from worker.cli.shops.serving import unserved
from worker.cli.status.time_left import TimeLeft, time_left
from worker.cli.store import closed_lines
from worker.errors import ReferralError
from worker.instants import SECOND, rfc3339
from worker.model.campaign_orders import CampaignOrder
from worker.model.controls import Controls
from worker.model.lanes import PACED_LANES, Lane
from worker.model.names import canonical
from worker.rabbitmq.queue_depths import Depth, Depths
from worker.rabbitmq.topology import DEAD, DELAYS, RESULTS, SUPPRESSION
from worker.shops.config import ListedShop
from worker.store.shop_state import ShopState

LAG_SECONDS = 6.0
"""How old RabbitMQ's depths may be, in seconds: it counts a quorum queue every five."""


@dataclass(frozen=True, slots=True)
class Look:
    """What was found at ``at``, in seconds of a monotonic clock.

    ``shops`` has None for a shop whose table in the shops file can't be used. ``campaigns`` is None if the store is
    out of reach, ``depths`` is None if RabbitMQ is; ``problems`` then say so.
    """

    at: float
    shops: Mapping[str, ListedShop | None]
    campaigns: Sequence[Progress] | None
    states: Mapping[str, ShopState] = field(default_factory=dict)
    controls: Controls = field(default_factory=Controls)
    depths: Depths | None = None
    consumers: Mapping[str, int] | None = None
    """Consumers by shop, of the queues that RabbitMQ was asked about; None if it was not asked."""
    problems: Sequence[ReferralError] = ()
    closed_workers: Mapping[str, str] = field(default_factory=dict)
    """Worker processes that call nobody, and why."""
    policies: Sequence[str] = ()
    """One line for each policy in RabbitMQ that loses messages."""

    def results(self) -> Counter[str]:
        """The number of final results by shop."""
        counts: Counter[str] = Counter()
        for progress in self.campaigns or ():
            counts[progress.shop] += progress.results
        return counts


def report(earlier: Look, look: Look, campaign: str | None, shop: str | None) -> dict[str, Any]:
    """What `referrals status --json` prints, for one ``campaign`` or ``shop`` if given.

    Rates are measured from ``earlier`` to ``look``.
    """
    campaigns = look.campaigns or ()
    found = look.depths or Depths({}, "nowhere: RabbitMQ is out of reach", complete=False)
    seconds = look.at - earlier.at
    paced = earlier.campaigns is not None and look.campaigns is not None and seconds > 0
    # Without an earlier count, every result that a shop ever had would count as one of these seconds.
    paces = _done(earlier, look) if paced else {}
    delayed = sum(_total(found.queues.get(f"referrals.delay.{level}")) for level in DELAYS)
    dead = _total(found.queues.get(DEAD))
    waiting = {slug: found.of_shop(slug) for slug in look.shops}
    gap = unaccounted(campaigns, in_queues=delayed + sum(map(_total, waiting.values())), dead=dead)
    # Counts are of now and depths up to LAG_SECONDS old. A job that moved in between is counted twice or not at all, so
    # a gap up to the jobs of that time is no loss.
    slack = (sum(paces.values()) / seconds) * LAG_SECONDS * 2 if paced else 0
    # Only with complete depths is a missing queue an empty one.
    empty = {slug for slug, depth in waiting.items() if found.complete and not delayed and not _total(depth)}
    name = canonical(campaign)
    shown = [
        progress
        for progress in campaigns
        if (campaign is None or canonical(progress.campaign) == name) and shop in (None, progress.shop)
    ]
    named = {progress.shop for progress in shown} if campaign is not None else look.shops.keys()
    gates = {slug: _gate(slug, look) for slug in look.shops}
    # Workers that call nobody consume nothing either; what is said of them tells more.
    nobody_calls = bool(look.closed_workers) and not any((look.consumers or {}).values())
    idle = unserved(gates, look.consumers or {}, max((state.at for state in look.states.values()), default=0))
    of_shop: defaultdict[str, list[Progress]] = defaultdict(list)
    for progress in campaigns:
        of_shop[progress.shop].append(progress)
    return {
        "campaigns": [
            _campaign(progress, ended=progress.shop in empty) | {"orders": _orders(progress, look)}
            for progress in shown
        ],
        "shops": [
            _shop(
                slug,
                look,
                waiting[slug],
                of_shop[slug],
                paces[slug] / seconds if slug in paces else None,
                slug not in idle,
                delayed if waiting[slug] is not None or found.complete else 0,
            )
            for slug in look.shops
            if shop in (None, slug) and slug in named
        ],
        "consumers": sum(look.consumers.values()) if look.consumers is not None else None,
        "unserved": [] if nobody_calls else [slug for slug in idle if shop in (None, slug) and slug in named],
        "delayed": delayed if look.depths else None,
        "dead": dead if look.depths else None,
        "results_waiting": _total(found.queues.get(RESULTS)) if look.depths else None,
        "depths_from": found.source,
        "unaccounted": None if not found.complete or look.campaigns is None else gap if abs(gap) > slack else 0,
        "closed_workers": dict(look.closed_workers),
        "problems": [*map(str, look.problems), *look.policies, *_suppression(look)],
    }


def _suppression(look: Look) -> list[str]:
    """Why workers call nobody: the store has lost suppression lists, or they lack the key."""
    lost = _lost_lists(look)
    # What the lists lack is said once, however many workers have met it.
    closed = {worker: reason for worker, reason in look.closed_workers.items() if not lost or reason != "lost"}
    return [*lost, *closed_lines(closed)]


def _lost_lists(look: Look) -> list[str]:
    """A line if RabbitMQ's journal of the suppression lists has more changes than the store; workers call nobody then.

    The store is to be asked after RabbitMQ: the journal has each change first.
    """
    journal = look.depths.queues.get(SUPPRESSION) if look.depths is not None and look.campaigns is not None else None
    known, changes = look.controls.suppression.number, _total(journal)
    if known >= changes:
        return []
    lost = f"the store has {known:,} of {changes:,} changes of the suppression lists, so workers call nobody"
    return [f"{lost}; `referrals suppress restore` brings the others back"]


def _done(earlier: Look, look: Look) -> dict[str, int]:
    """The number of results since the earlier look, by shop, of the shops in both looks."""
    # A store that lost its data counts from 0 again: its shops have no rate this time.
    before, now = earlier.results(), look.results()
    return {
        slug: now[slug] - before[slug] for slug in look.shops if slug in earlier.shops and now[slug] >= before[slug]
    }


def _gate(slug: str, look: Look) -> GateView:
    return gate_of(look.states.get(slug), slug, look.shops[slug], look.controls)


# `campaigns` are the shop's, `depth` is its queues'. `served`: a worker takes the shop's jobs. `delayed` counts all
# shops' jobs.
def _shop(
    slug: str,
    look: Look,
    depth: Depth | None,
    campaigns: Sequence[Progress],
    pace: float | None,
    served: bool,
    delayed: int,
) -> dict[str, Any]:
    """A shop's part of the report: its state, its queue, its rates, and how long its jobs take."""
    config, state = look.shops[slug], look.states.get(slug)
    limits = config.limits if config is not None else None
    gate = _gate(slug, look)
    known = limits is not None and state is not None
    # A producer that doesn't count its jobs leaves too few; the queue then has more.
    remaining = max(sum(max(0, progress.left) for progress in campaigns), _total(depth))
    left = TimeLeft(None)
    if config and state and ((gate.opens_by_itself and served) or not remaining):
        left = time_left(
            remaining,
            campaigns,
            config,
            state,
            look.controls,
            closed_until=gate.until,
            aside=_jobs_in(slug, look, "held"),
            # What is left of the shop's jobs and isn't in its queues; the queues of delays don't tell shops apart.
            delayed=min(delayed, remaining - _total(depth)),
            stands=pace == 0,
        )
    return {
        "shop": slug,
        "gate": gate.gate,
        "code": gate.code,
        "reason": gate.reason,
        "since": rfc3339(gate.since) if gate.since else None,
        "until": rfc3339(gate.until) if gate.until else None,
        "limit": limit_data(slug, look.controls, state.at) if state is not None else None,
        "reserve": reserve_data(config, state) if config is not None and state is not None else None,
        "waiting": depth.ready if depth is not None else 0 if look.depths and look.depths.complete else None,
        "in_hand": depth.unacknowledged if depth is not None else 0 if look.depths and look.depths.complete else None,
        "urgent": _jobs_in(slug, look, "urgent"),
        "paced": _jobs_in(slug, look, *PACED_LANES),
        "held": _jobs_in(slug, look, "held"),
        "consumers": (look.consumers or {}).get(slug),
        "jobs_per_second": round(pace, 2) if pace is not None else None,
        "allowed_per_second": round(SECOND / state.interval, 3) if known and state is not None else None,
        "left_today": max(0, limits.shop_per_day - state.calls_today) if limits and state else None,
        "seconds_to_go": left.seconds,
        "held_by_order": left.held,
        "no_time_left_because": left.why,
    }


def _jobs_in(slug: str, look: Look, *lanes: Lane) -> int | None:
    """How many of the shop's jobs are in these lanes, at workers or not; they are among those of the shop."""
    if look.depths is None:
        return None
    found = [depth for lane in lanes if (depth := look.depths.of_lane(slug, lane)) is not None]
    return sum(map(_total, found)) if found or look.depths.complete else None


def _campaign(progress: Progress, *, ended: bool) -> dict[str, Any]:
    """A campaign's part of the report at one shop; ``ended``: RabbitMQ has no job of the shop."""
    # More jobs ended than were counted as published, so some were published without being counted. How many of these
    # are left is unknown, unless RabbitMQ has no job of the shop at all.
    uncounted = max(0, -progress.left)
    return {
        "campaign": progress.campaign,
        "shop": progress.shop,
        "published": progress.published,
        "uncounted": uncounted,
        **progress.outcomes,
        "rejected_by_code": dict(progress.rejected),
        "suppressed": progress.suppressed,
        "duplicates": progress.duplicates,
        "dead": progress.dead,
        "left": progress.left if not uncounted else 0 if ended else None,
    }


def _orders(progress: Progress, look: Look) -> dict[str, Any] | None:
    """What is ordered about the campaign at the shop, and whether it is cancelled; None for nothing."""
    now = max((state.at for state in look.states.values()), default=0)
    order = look.controls.order_about(progress.campaign, progress.shop)
    in_force = order.in_force(now) if order else None
    cancelled = look.controls.is_cancelled(progress.campaign, progress.shop, now)
    if in_force is None and not cancelled:
        return None
    return order_data(in_force or CampaignOrder()) | {"cancelled": cancelled}


def _total(depth: Depth | None) -> int:
    return depth.ready + (depth.unacknowledged or 0) if depth is not None else 0
