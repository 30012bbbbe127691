"""What is simulated: shops with their jobs, and the processes that call for them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from worker.instants import SECOND
from worker.limits.token_bucket import ShopLimits
from worker.shops.config import ShopTable
from worker.store.controls import ControlsStore
from worker.store.shop_state import ShopState

BEGIN = 1_793_620_800 * SECOND
"""Noon of some day, far from a day's end."""


@dataclass(frozen=True)
class Load:
    """A shop with its jobs, all published before the simulation begins, or at one instant ``after`` that.

    ``table`` is its table in a shops file. ``customer_of`` gives the customer of each job by its number, "" for nobody;
    None: each job has one of its own. ``ahead`` are jobs of nobody that were published before: the simulation ends
    without them. ``limits`` and ``weight`` are in place of the table's. ``state`` is what a store knows of the
    shop at the beginning. ``slowed`` is how far apart its calls are at least, and until when, by an operator's order. A
    call of the shop takes ``stretch`` times as long as others: one job may stand for so many. ``channel_of`` gives the
    channel of each job by its number, those ahead counted first, for shops with a window; ``window`` are the jobs' own
    hours. ``urgent`` is how many urgent jobs there are beside them, and how far apart they are published.
    ``campaign_of`` gives the campaign of each job by its number, those ahead counted first, "" for one that no order is
    about; None: no order is about any. So many of the jobs, the last ones, are published into the held lane:
    ``aside``. ``is_rejected`` says by the number which jobs end as rejected.
    """

    jobs: int
    table: ShopTable = field(default_factory=ShopTable)
    customer_of: Callable[[int], str] | None = None
    ahead: int = 0
    limits: ShopLimits | None = None
    state: ShopState | None = None
    slowed: tuple[int, int] | None = None
    stretch: int = 1
    weight: int | None = None
    after: int = 0
    channel_of: Callable[[int], str] | None = None
    window: str | None = None
    urgent: tuple[int, int] = (0, 0)
    campaign_of: Callable[[int], str] | None = None
    aside: int = 0
    is_rejected: Callable[[int], bool] | None = None


@dataclass(frozen=True)
class Scenario:
    """What is simulated. Times are in microseconds.

    A call takes ``call`` on average: a fifth of it at least, the rest exponentially distributed. Calls after
    ``deadline`` are counted as late; None: there is none. ``shared``: the store is one that others may share, as a
    worker's is, even where there is one process; so is the store of several. ``orders`` are given to the store, each
    so long after the beginning; a process looks for them once a second, as a worker does. The simulation ends by
    ``until``, whatever is left; None: once every job is done.
    """

    loads: Sequence[Load]
    processes: int = 1
    threads: int = 16
    prefetch: int = 16
    call: int = 100_000
    store_round_trip: int = 500
    begin: int = BEGIN
    seed: int = 1
    deadline: int | None = None
    shared: bool = False
    orders: Sequence[tuple[int, Callable[[ControlsStore], object]]] = ()
    until: int | None = None
