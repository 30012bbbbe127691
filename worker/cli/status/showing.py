"""Asks the store and RabbitMQ twice, and shows what they say of campaigns, shops and queues."""

import time
from collections.abc import Collection, Iterable
from dataclasses import replace

import typer

from worker.campaigns.progress import Progress
from worker.cli import console
from worker.cli.settings import load
from worker.cli.shop_lookup import require_shop
from worker.cli.shop_view import limits_of
from worker.cli.shops.serving import consumers_of
from worker.cli.status.report import Look, report
from worker.cli.status.text import Frame, lines_of, remarks
from worker.cli.store import ask_each
from worker.clock import SystemClock
from worker.errors import BrokerError, ConfigurationError, ReferralError, StoreError
from worker.limits.token_bucket import Rate, ShopLimits
from worker.model.controls import Controls
from worker.model.lanes import ShopLane
from worker.rabbitmq.connection import parameters
from worker.rabbitmq.policies import UnknownPoliciesError, losses
from worker.rabbitmq.queue_depths import Depths, depths
from worker.rabbitmq.topology import DEAD, DELAYS, RESULTS, SUPPRESSION, lane_of_queue, shop_queue
from worker.settings import Settings
from worker.shops.config import ListedShop
from worker.shops.file import ReadableShops, readable_shops
from worker.store.factory import build_store
from worker.store.protocol import ShopStateStore, Store
from worker.store.shop_state import ShopState
from worker.text.masking import mask
from worker.text.visible import one_line

LOOK_SECONDS = 2.0
"""Seconds between two looks of --watch, and between the two looks that a rate is measured by."""

_UNKNOWN = ShopLimits(Rate.per_second(1, 1), 1, Rate.per_second(1, 1), 1)
"""Limits for a shop that can't be read from the file. The store needs some; what it derives from them is not shown."""


def show_status(campaign: str | None, *, shop: str | None, every: bool, watch: bool, as_json: bool) -> None:
    """Show the progress of campaigns, and the state of shops and queues, as ``referrals status`` says."""
    loaded = load()
    if loaded.redis_url is None:
        raise ConfigurationError(
            "REFERRALS_REDIS_URL: is not set; set it to the workers' "
            "(a worker without a store keeps its counts in memory; see its /metrics)"
        )
    if shop is not None:
        require_shop(shop, readable_shops(loaded.shops), loaded)
    store = _store(loaded)
    policies = _policies(loaded)
    try:
        # Rates need two looks; the first one only counts.
        earlier = _look(store, loaded, paced_only=True)
        while True:
            time.sleep(max(0.0, earlier.at + LOOK_SECONDS - time.monotonic()))
            look = replace(_look(store, loaded), policies=policies)
            look = _asked(look, loaded, shop)
            found = report(earlier, look, campaign, shop)
            if as_json:
                console.print_json(found)
            else:
                framed = watch and console.stdout().is_terminal
                frame = Frame(console.width(), console.stdout().height if framed else None, every or shop is not None)
                if framed:
                    console.stdout().clear()
                _print(lines_of(found, frame), () if framed else remarks(found, frame))
            if not watch:
                break
            earlier = look
    except KeyboardInterrupt:
        return
    finally:
        if not isinstance(store, ConfigurationError):
            store.close()
    if campaign is not None and not found["campaigns"] and look.campaigns is not None:
        console.say(f"no job of a campaign {campaign} has been counted; check the name")
    if look.problems:
        raise typer.Exit(max(problem.exit_code for problem in look.problems))


def _print(lines: Iterable[str], explained: Iterable[str]) -> None:
    for line in lines:
        console.show(line)
    for text in explained:
        console.say(text)


def _store(loaded: Settings) -> Store | ConfigurationError:
    """The store, or why its URL can't be used."""
    try:
        return build_store(loaded, SystemClock())
    except ConfigurationError as error:
        # The URL can't be used. RabbitMQ can still be asked.
        return error


def _look(store: Store | ConfigurationError, loaded: Settings, *, paced_only: bool = False) -> Look:
    """Ask the shops file, the store and RabbitMQ once. What fails is in the look's ``problems``; nothing is raised."""
    # `paced_only`: only what the rate is measured by, for the first of two looks.
    readable = readable_shops(loaded.shops)
    problems: list[ReferralError] = [
        ConfigurationError(f"{problem}; running workers keep its last good version, and no new one can start")
        for problem in readable.problems
    ]
    queues = None
    if not paced_only or readable.problems:
        # With a broken file, RabbitMQ's queues say which shops there are. Both looks must see the same shops, or the
        # rate would be that of others.
        try:
            queues = _depths(loaded, readable, _lanes(store))
        except (BrokerError, ConfigurationError) as error:
            problems.append(error)
    shops = _shops(readable, queues)
    try:
        if isinstance(store, ConfigurationError):
            raise store
        tallies = ask_each(store.tallies, shops)
        campaigns = [
            Progress.of(campaign, slug, counters)
            for slug, of_shop in zip(shops, tallies, strict=True)
            for campaign, counters in sorted(of_shop.items())
        ]
        at = time.monotonic()
        if paced_only:
            return Look(at, shops, campaigns)
        controls, now = store.controls(), SystemClock().now()
        states = ask_each(lambda slug: _state(store, slug, shops[slug], controls, now), shops)
        closed = store.closed_workers()
    except (StoreError, ConfigurationError) as error:
        problems.append(error)
        return Look(time.monotonic(), shops, None, depths=queues, problems=problems)
    told = dict(zip(shops, states, strict=True))
    return Look(at, shops, campaigns, told, controls, queues, problems=problems, closed_workers=closed)


def _asked(look: Look, loaded: Settings, shop: str | None) -> Look:
    """The look with the number of consumers of the shops' queues."""
    # Adds who takes the shops' jobs: this shop's first, then those with the longest queues, since only a bounded number
    # is asked about. Nothing if RabbitMQ is out of reach, which is reported already.
    if look.depths is None:
        return look
    waiting = {slug: look.depths.of_shop(slug) for slug in look.shops}
    ready = {slug: depth.ready if depth is not None else 0 for slug, depth in waiting.items()}
    try:
        slugs = sorted(look.shops, key=lambda slug: (slug != shop, -ready[slug]))
        return replace(look, consumers=consumers_of(loaded, slugs))
    except BrokerError as error:
        return replace(look, problems=[*look.problems, error])


def _policies(loaded: Settings) -> list[str]:
    """One line for each policy in RabbitMQ that loses messages, or on why these are unknown."""
    # Asked once and not at each look, since it costs RabbitMQ more than the depths do.
    try:
        params = parameters(loaded.amqp_url.get_secret_value(), name="referral-dispatch status")
        return [one_line(mask(loss)) for loss in losses(params, loaded.rabbitmq_management_url)]
    except ConfigurationError:
        # Each look reports that.
        return []
    except UnknownPoliciesError as error:
        return [] if loaded.rabbitmq_management_url is None else [one_line(mask(str(error)))]


def _state(store: ShopStateStore, slug: str, config: ListedShop | None, controls: Controls, now: int) -> ShopState:
    return store.inspect(slug, limits_of(config, controls, now) if config is not None else _UNKNOWN)


def _shops(readable: ReadableShops, queues: Depths | None) -> dict[str, ListedShop | None]:
    """The shops of the file, None for an unreadable table; with a broken file also those with a queue in RabbitMQ."""
    shops: dict[str, ListedShop | None] = {**readable.shops, **dict.fromkeys(readable.others)}
    if readable.problems and queues is not None:
        # Shops that can't be read from the file still have their queues in RabbitMQ.
        names = sorted({of.shop for name in queues.queues if (of := lane_of_queue(name)) is not None})
        shops |= {name: None for name in names if name not in shops}
    return shops


def _lanes(store: Store | ConfigurationError) -> Collection[ShopLane]:
    """The lanes that shops have beside their own queues; none if the store is out of reach, which is reported later."""
    try:
        return store.controls().lanes if not isinstance(store, ConfigurationError) else ()
    except StoreError:
        return ()


def _depths(loaded: Settings, readable: ReadableShops, lanes: Collection[ShopLane]) -> Depths:
    params = parameters(loaded.amqp_url.get_secret_value(), name="referral-dispatch status")
    names = [shop_queue(slug) for slug in (*readable.shops, *readable.others)]
    names += [shop_queue(*of) for of in lanes]
    names += [f"referrals.delay.{seconds}" for seconds in DELAYS] + [DEAD, RESULTS, SUPPRESSION]
    return depths(params, names, loaded.rabbitmq_metrics_url)
