"""What the store keeps of an operator's orders: how workers read it, and how commands change it."""

from collections.abc import Callable, Collection
from typing import Protocol

from worker.errors import StoreError
from worker.model.campaign_orders import Brake, Hold
from worker.model.controls import Controls
from worker.model.lanes import ShopLane
from worker.model.orders import Order, Origin


class ControlsReader(Protocol):
    """What an operator has ordered, as workers read it."""

    @property
    def generation(self) -> int:
        """Rises when the store may have lost data: before any answer over a new connection is heard of, and when
        :meth:`watch` has found that they are gone.
        """

    def watch(self, known: int, reply: Callable[[Controls | StoreError | None], None]) -> None:
        """Ask for the operator's orders without waiting.

        ``reply`` is called once, at once or later on the store's thread: with None if the version ``known`` is still
        the current one.
        """

    def controls(self) -> Controls:
        """Read the operator's orders. Blocks."""

    def add_lanes(
        self,
        lanes: Collection[ShopLane],
        *,
        are_all: bool = False,
        done: Callable[[StoreError | None], None] | None = None,
    ) -> None:
        """List lanes whose queues exist, so that every worker consumes them. Does not wait; may be lost.

        ``are_all``: RabbitMQ was searched, and has no others than those that are listed then. ``done`` is called once,
        at once or later on the store's thread: with the reason where it is lost. Without it a warning is logged then.
        """


class ControlsStore(ControlsReader, Protocol):
    """What an operator can order. Each order blocks until it is recorded, and returns all that are in force.

    Who gave it and why is remembered with it: ``origin``.
    """

    def pause(self, shop: str, origin: Origin) -> Controls:
        """Start no call of the shop (``EVERY_SHOP``: of any) until :meth:`resume`. A pause never ends by itself.

        That of every shop begins anew what can't be read of the orders; the order says in its detail what that was.
        Every other order raises :class:`worker.errors.DamagedOrdersError` then.
        """

    def resume(self, shop: str, origin: Origin) -> Controls:
        """Lift that pause."""

    def limit(self, shop: str, interval: int, until: int, origin: Origin) -> Controls:
        """Keep the shop's calls ``interval`` microseconds apart at least, until ``until`` or :meth:`unlimit`."""

    def unlimit(self, shop: str, origin: Origin) -> Controls:
        """Lift that limit."""

    def cancel(self, campaign: str, shop: str, origin: Origin) -> Controls:
        """End the campaign's jobs, of one shop or of every one, without a call; kept for ``CANCELLED_FOR``.

        ``campaign`` is in the form that :func:`worker.model.job.canonical` makes.
        """

    def restore(self, campaign: str, shop: str, origin: Origin) -> Controls:
        """Lift that cancellation: jobs of the campaign that are still queued are called again."""

    def pause_campaign(self, campaign: str, shop: str, origin: Origin) -> Controls:
        """Start no call of the campaign at the shop, or at any, until :meth:`resume_campaign`."""

    def resume_campaign(self, campaign: str, shop: str, origin: Origin) -> Controls:
        """Lift that pause, or what the campaign's brake has stopped, and arm the brake anew.

        For every shop the pauses of single shops are lifted too.
        """

    def pace_campaign(self, campaign: str, shop: str, interval: int, per_day: int, origin: Origin) -> Controls:
        """Keep the campaign's calls at a shop ``interval`` microseconds apart at least and below ``per_day``, 0 for
        neither. Both 0 lift it, for every shop those of single shops too.
        """

    def release_campaign(self, campaign: str, shop: str, origin: Origin) -> Controls:
        """Let go what :meth:`publish_campaign` holds back. For every shop also what is held of single shops."""

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
        """Before a campaign is published: hold the ``rest`` of it, which waits in the held lane, and arm its ``brake``.

        None leaves what is ordered already. ``detail`` says it in words. A brake is also that of shops which have one
        of their own, but a ``usual`` one, which nobody has asked for, leaves each that is there. One that is the same
        stays armed as it is, but for ``anew``, by which it counts from nothing.
        """

    def record(self, action: str, origin: Origin, *, shop: str = "", campaign: str = "", detail: str = "") -> Controls:
        """Remember, and tell the workers of, something that was done by other ways than the store's."""

    def orders(self) -> list[Order]:
        """The last orders, those of :meth:`record` among them, the newest first; at most ``MOST_ORDERS``. Blocks."""
