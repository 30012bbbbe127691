"""How the shops and the workers stand now: asked of RabbitMQ and the store, or of a run's journal."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from worker.cli.campaigns.view import holds_any
from worker.cli.shop_view import gate_of
from worker.cli.shops.serving import MOST_ASKED, consumers_of
from worker.cli.store import ask_each, closed_lines
from worker.clock import SystemClock
from worker.embedded.past import lines_of
from worker.embedded.restore import restore
from worker.errors import BrokerError, ConfigurationError, StoreError
from worker.model.controls import Controls
from worker.planning.circumstances import Shop
from worker.rabbitmq.connection import parameters
from worker.rabbitmq.queue_depths import Depth, Depths, depths
from worker.rabbitmq.topology import shop_queue
from worker.settings import Settings
from worker.shops.config import ListedShop
from worker.store.factory import build_store
from worker.store.memory.store import MemoryStore
from worker.store.protocol import AdmitRequest
from worker.store.shop_state import ShopState


@dataclass(frozen=True)
class Outlook:
    """The shops by slug, and how many processes take their jobs: None if that is not known.

    ``closed`` has a line on those that call nobody, for each reason. ``remarks`` has one on each thing that could not
    be asked.
    """

    shops: Mapping[str, Shop]
    processes: int | None
    closed: Sequence[str] = ()
    remarks: Sequence[str] = ()


def is_distributed(loaded: Settings) -> bool:
    """Whether RabbitMQ or a shared store is configured, so that the campaign is meant for workers and not for `run`."""
    return loaded.redis_url is not None or "amqp_url" in loaded.model_fields_set


def outlook(loaded: Settings, listed: Mapping[str, ListedShop], shops: Collection[str], campaign: str) -> Outlook:
    """Ask RabbitMQ and the store about the ``shops`` of the campaign, and about those whose queues are not empty.

    Nothing is raised: what can't be asked is a remark. Blocks for some seconds at most.
    """
    remarks = []
    with ThreadPoolExecutor(1) as asking:
        serving = asking.submit(_serving, loaded, sorted(shops))
        found, problem = _depths(loaded, shops)
        remarks += [problem] if problem else []
        queued = {slug: _jobs(depth) for slug in listed if (depth := found.of_shop(slug)) is not None}
        slugs = sorted({*shops, *(slug for slug, jobs in queued.items() if jobs)} & listed.keys())
        states, controls, closed, problem = _states(loaded, listed, slugs, campaign)
        remarks += [problem] if problem else []
        processes = serving.result()
    now = SystemClock().now()
    for slug in slugs:
        if slug in queued and holds_any(controls, slug, now):
            # What waits aside goes when somebody lets it, so nobody waits behind it.
            queued[slug] -= _jobs(found.of_lane(slug, "held"))
    standing = {
        slug: _shop(slug, listed[slug], states.get(slug), controls, queued.get(slug, 0), now, campaign)
        for slug in slugs
    }
    return Outlook(standing, processes, closed_lines(closed), remarks)


def outlook_of_run(listed: Mapping[str, ListedShop], campaign: Iterable[str], journal: Path | None) -> Outlook:
    """The shops as a run in one process finds them: with the calls of today that its journal knows, and no others."""
    store = MemoryStore(SystemClock(), retention=0)
    if journal is not None:

        def request_of(shop: str, customer: str, job_id: str) -> AdmitRequest | None:
            config = listed.get(shop)
            return AdmitRequest(shop, customer, job_id, config.limits, lease=0) if config is not None else None

        restore(lines_of(journal), store, request_of)
    shops = {}
    for slug in campaign:
        state = store.inspect(slug, listed[slug].limits)
        shops[slug] = _shop(slug, listed[slug], state, Controls(), 0, state.at, "")
    return Outlook(shops, 1)


def _depths(loaded: Settings, campaign: Collection[str]) -> tuple[Depths, str | None]:
    try:
        params = parameters(loaded.amqp_url.get_secret_value(), name="referral-dispatch plan")
        return depths(params, [shop_queue(slug) for slug in campaign], loaded.rabbitmq_metrics_url), None
    except (BrokerError, ConfigurationError) as error:
        nothing = Depths({}, "", complete=False)
        return nothing, f"counted with one worker and without the jobs that are queued already: {error}"


def _serving(loaded: Settings, campaign: Sequence[str]) -> int | None:
    """How many processes take the campaign's jobs; None if RabbitMQ can't be asked."""
    try:
        # Each process has one consumer on each shop's queue, and none on a shop that stays closed.
        return max(consumers_of(loaded, campaign[:MOST_ASKED]).values(), default=0)
    except (BrokerError, ConfigurationError):
        return None


def _states(
    loaded: Settings, listed: Mapping[str, ListedShop], slugs: Sequence[str], campaign: str
) -> tuple[Mapping[str, ShopState], Controls, Mapping[str, str], str | None]:
    """The states of the shops, the controls, the workers that call nobody, and what could not be asked."""
    if loaded.redis_url is None:
        return {}, Controls(), {}, "counted without the calls made today: REFERRALS_REDIS_URL is not set"
    try:
        store = build_store(loaded, SystemClock())
    except ConfigurationError as error:
        return {}, Controls(), {}, f"counted without pauses and the calls made today: {error}"
    try:
        controls = store.controls()
        states = ask_each(lambda slug: store.inspect(slug, listed[slug].limits, campaign), slugs)
        return dict(zip(slugs, states, strict=True)), controls, store.closed_workers(), None
    except StoreError as error:
        return {}, Controls(), {}, f"counted without pauses and the calls made today: {error}"
    finally:
        store.close()


def _jobs(depth: Depth | None) -> int:
    return depth.ready + (depth.unacknowledged or 0) if depth is not None else 0


def _shop(
    slug: str,
    config: ListedShop,
    state: ShopState | None,
    controls: Controls,
    ahead: int,
    now: int,
    campaign: str,
) -> Shop:
    gate = gate_of(state, slug, config, controls)
    limit = controls.limit_of(slug, now)
    if state is not None and state.closure is not None and state.closure.until > now:
        # Nothing is called before the next try.
        state = replace(state, blocked_until=max(state.blocked_until, state.closure.until))
    return Shop(
        config.limits,
        config.max_in_flight,
        config.weight,
        ahead,
        state,
        (limit.interval, limit.until) if limit is not None else None,
        gate.text if not gate.opens_by_itself else None,
        controls.order_about(campaign, slug),
    )
