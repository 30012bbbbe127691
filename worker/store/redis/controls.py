"""What an operator has ordered, on the server: two strings for all shops, which each worker reads once a second."""

import socket
from collections.abc import Callable, Collection, Sequence
from typing import Any

import structlog

from worker.clock import Clock
from worker.errors import DamagedOrdersError, StoreError
from worker.model.campaign_orders import FOREVER, Brake, Hold
from worker.model.controls import EVERY_SHOP, Controls
from worker.model.lanes import ShopLane
from worker.model.names import canonical
from worker.model.orders import Order, Origin, limit_text, pace_text
from worker.store.braking import Braking
from worker.store.redis.client import Server
from worker.store.redis.keys import CAMPAIGN_ORDERS_KEY, CONTROLS_KEY, LANES_KEYS, LISTS_KEY, LOG_KEY, WATCH_KEYS
from worker.store.redis.replies import read_controls, read_orders, readable
from worker.store.redis.suppression import RedisSuppression
from worker.store.timing import BRAKE_KEPT, CANCELLED_FOR

_ORDERED = [CONTROLS_KEY, LOG_KEY, LISTS_KEY, CAMPAIGN_ORDERS_KEY]

log = structlog.get_logger(__name__)


class RedisControls(RedisSuppression):
    """The orders in force. ``keep`` is the ledger's retention: no cancellation is forgotten before the jobs are."""

    def __init__(self, server: Server, clock: Clock, keep: int, address_key: bytes) -> None:
        super().__init__(server, address_key)
        self._clock = clock
        self._keep = keep
        self._since: Any = None
        self._losses = 0

    @property
    def generation(self) -> int:
        """A sum of two counts, so only whether it is another one than before says anything."""
        return self._server.generation + self._losses

    def watch(self, known: int, reply: Callable[[Controls | StoreError | None], None]) -> None:
        """As :class:`worker.store.controls.ControlsReader` says; ``reply`` runs on the store's thread."""

        def done(answer: Any) -> None:
            match answer:
                case StoreError():
                    reply(answer)
                case [since, [_, version]] if version == known:
                    self._has_data_since(since)
                    reply(None)
                case _:
                    news: Controls | StoreError
                    try:
                        with readable:
                            since, told = answer
                        self._has_data_since(since)
                        news = self._read(told)
                    except StoreError as error:
                        # A worker starts no call until it has had a reply, so an unreadable one is a reply too.
                        news = error
                    reply(news)

        self._server.send("watch", WATCH_KEYS, [known, "worker"], done)

    def controls(self) -> Controls:
        answer = self._server.call("watch", WATCH_KEYS, [-1])
        with readable:
            _, told = answer
        return self._read(told)

    def add_lanes(
        self,
        lanes: Collection[ShopLane],
        *,
        are_all: bool = False,
        done: Callable[[StoreError | None], None] | None = None,
    ) -> None:
        """As :class:`worker.store.controls.ControlsReader` says; ``done`` runs on the store's thread."""

        def replied(answer: Any) -> None:
            problem = answer if isinstance(answer, StoreError) else None
            if done is not None:
                done(problem)
            elif problem is not None:
                log.warning("lanes_not_listed", lanes=len(lanes), problem=str(problem))

        self._server.send("lanes", LANES_KEYS, [int(are_all), *(of.key.encode() for of in lanes)], replied)

    def pause(self, shop: str, origin: Origin) -> Controls:
        lost = self._damaged() if shop == EVERY_SHOP else []
        if not lost:
            return self._order(origin, "pause", shop=shop)
        numbers = "".join(str(_ORDERED.index(key.encode()) + 1) for key in lost)
        return self._order(origin, "pause", 0, 0, numbers, shop=shop, detail=f"begun anew: {', '.join(lost)}")

    def resume(self, shop: str, origin: Origin) -> Controls:
        return self._order(origin, "resume", shop=shop)

    def limit(self, shop: str, interval: int, until: int, origin: Origin) -> Controls:
        lasts = max(0, until - self._clock.now())
        return self._order(origin, "limit", lasts, interval, shop=shop, detail=limit_text(interval, until))

    def unlimit(self, shop: str, origin: Origin) -> Controls:
        return self._order(origin, "unlimit", shop=shop)

    def cancel(self, campaign: str, shop: str, origin: Origin) -> Controls:
        return self._order(origin, "cancel", max(CANCELLED_FOR, self._keep), shop=shop, campaign=campaign)

    def restore(self, campaign: str, shop: str, origin: Origin) -> Controls:
        return self._order(origin, "restore", shop=shop, campaign=campaign)

    def record(self, action: str, origin: Origin, *, shop: str = "", campaign: str = "", detail: str = "") -> Controls:
        return self._order(origin, action, shop=shop, campaign=campaign, detail=detail)

    def pause_campaign(self, campaign: str, shop: str, origin: Origin) -> Controls:
        return self._order(origin, "campaigns pause", shop=shop, campaign=campaign, script="campaign")

    def resume_campaign(self, campaign: str, shop: str, origin: Origin) -> Controls:
        return self._order(origin, "campaigns resume", shop=shop, campaign=campaign, script="campaign")

    def pace_campaign(self, campaign: str, shop: str, interval: int, per_day: int, origin: Origin) -> Controls:
        detail = pace_text(interval, per_day)
        numbers = (interval, per_day)
        return self._order(
            origin, "campaigns pace", *numbers, shop=shop, campaign=campaign, detail=detail, script="campaign"
        )

    def release_campaign(self, campaign: str, shop: str, origin: Origin) -> Controls:
        return self._order(origin, "campaigns release", shop=shop, campaign=campaign, script="campaign")

    def publish_campaign(
        self,
        campaign: str,
        shop: str,
        origin: Origin,
        *,
        rest: Hold | None,
        brake: Brake | None,
        detail: str,
        usual: bool = False,
        anew: bool = False,
    ) -> Controls:
        kind, lasts = ("", 0) if rest is None else (rest.kind, 0)
        if rest is not None and rest.until != FOREVER:
            lasts = max(1, rest.until - self._clock.now())
        share, window = (brake.share, brake.window) if brake is not None else (0, 0)
        arguments = (kind, lasts, share, window, BRAKE_KEPT, int(usual), int(anew))
        return self._order(
            origin, "publish", *arguments, shop=shop, campaign=campaign, detail=detail, script="campaign"
        )

    def brake_campaign(self, campaign: str, shop: str, braking: Braking, reason: str) -> None:
        """Hold the campaign, whose brake was tripped, without waiting. What is lost is repeated by the next result."""

        def done(answer: Any) -> None:
            if isinstance(answer, StoreError):
                log.warning("brake_failed", shop=shop, campaign=campaign, problem=str(answer))
            else:
                braking.held()

        by = f"worker@{socket.gethostname()}"
        arguments = [by, "brake", shop, canonical(campaign) or "", reason, str(braking.brake), braking.brake.armed]
        self._server.send("campaign", _ORDERED, arguments, done)

    def orders(self) -> list[Order]:
        return read_orders(self._server.call("orders", [LOG_KEY], []), self._clock.now())

    def _order(
        self,
        origin: Origin,
        action: str,
        *more: int | str,
        shop: str = "",
        campaign: str = "",
        detail: str = "",
        script: str = "control",
    ) -> Controls:
        arguments = [origin.by, action, shop, campaign, origin.reason, detail, *more]
        try:
            return self._read(self._server.call(script, _ORDERED, arguments))
        except StoreError as error:
            if error.reason in {"damaged", "refused"} and (keys := self._damaged()):
                # The script stumbled over them, and can't say over which.
                raise DamagedOrdersError(keys) from error
            raise

    def _damaged(self) -> Sequence[str]:
        try:
            self.controls()
        except DamagedOrdersError as error:
            return error.keys
        return []

    def _has_data_since(self, since: Any) -> None:
        # The version tells nothing where nothing was ordered before, as before the first address is suppressed.
        if self._since is not None and self._since != since:
            self._losses += 1
        self._since = since

    def _read(self, answer: Any) -> Controls:
        controls = read_controls(answer, self._clock.now())
        self.expect(controls.suppression)
        return controls
