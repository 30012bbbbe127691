"""What the rest of the worker asks a store, and what a store answers.

A message is only a ticket. The ledger in the store decides what becomes of its job::

    none ───────admit───────► started ───────answer──────► answered ───────settle──────► done
     ▲                        │ ▲ ▲ ▲                       │   │
     └────────release─────────┤ │ │ └────────admit*─────────┘   │ settle*
                              │ │ │                             ▼
               retry, release │ │ └─────────admit*────────── uncalled
                              ▼ │ admit when due
                            waiting

    *  where the job ended as expired or cancelled, without a call; the copy that is admitted then is to be called
    started ───admit once the lease is over: a takeover───► started

``release`` undoes a grant: the first attempt leaves nothing, a later one leaves ``waiting``. A takeover replaces a
grant whose worker may have called and did not report in time. The package's docstring has the rules for epochs,
copies and clocks.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from worker.errors import StoreError
from worker.limits.token_bucket import ShopLimits
from worker.model.outcomes import Outcome
from worker.store.braking import Braking
from worker.store.controls import ControlsStore
from worker.store.shop_state import Closure, ShopState
from worker.store.suppression import SuppressionStore
from worker.store.timing import NO_DEADLINE

ClosedReason = Literal["rate", "day_quota", "throttled", "suppression", "reserve", "urgent"]


@dataclass(frozen=True, slots=True)
class CampaignPace:
    """How far apart the calls of a campaign are at least (microseconds), how many it may have a day (0: no bound), and
    the place in its line that an earlier :class:`Wait` handed out to the job.
    """

    interval: int
    per_day: int
    place: int | None = None


@dataclass(frozen=True, slots=True)
class AdmitRequest:
    """One job that asks to be called. ``customer`` is the key by which its limits count, empty if it has none.

    ``place_in_line`` is the one that an earlier :class:`Wait` handed out in the customer's line. ``lease`` is the
    longest that the call can last, in microseconds. ``uncalled`` is how the job ends without a call; such a job takes
    no token, so no limit holds it back. ``campaign`` is what the job is counted under. ``deadline`` is the job's
    ``not_after`` as its message states it; it is compared with those of other copies, never with a clock. ``addresses``
    are those of its customer and its destination, hashed (:class:`worker.model.suppression.AddressKey`), two at most.
    ``pace`` is that of its campaign, where that has one of its own.
    ``urgent``: it may use what the shop's limits keep for urgent jobs. All jobs of one question are urgent, or none.
    """

    shop: str
    customer: str
    job_id: str
    limits: ShopLimits
    lease: int
    place_in_line: int | None = None
    uncalled: Literal["expired", "cancelled"] | None = None
    campaign: str = ""
    deadline: int = NO_DEADLINE
    addresses: tuple[bytes, ...] = ()
    pace: CampaignPace | None = None
    urgent: bool = False


@dataclass(frozen=True, slots=True)
class Grant:
    """The call may start, from ``start_at`` and not after ``start_by``. Its tokens are taken and its lease has begun.

    ``attempts`` counts this call too. ``takeovers`` counts the earlier grants whose worker never reported.
    ``unknowns`` counts the earlier calls that may have been carried out, takeovers included. ``elapsed`` is the value
    that :meth:`AdmissionStore.retry` was given last. ``suppressed``: an address of the job is on a suppression list; it
    ends without a call, and no token was taken.

    Two fields are only shown: ``overtaken`` says that this grant is a takeover, ``calls_today`` how many calls the
    shop has had since its day's reset, this one included (None for a job that ends without a call).
    """

    epoch: int
    start_at: int
    start_by: int
    attempts: int
    takeovers: int
    unknowns: int = 0
    elapsed: int = 0
    overtaken: bool = field(default=False, compare=False)
    calls_today: int | None = field(default=None, compare=False)
    suppressed: bool = False


@dataclass(frozen=True, slots=True)
class ShopClosed:
    """No job of the shop may start before ``until``. Then it is worth asking for ``batch`` of them at once.

    ``rate`` and ``reserve`` close it to all but urgent jobs, ``urgent`` to urgent ones alone.

    ``interval`` is how far apart the shop's calls are at present, where ``reason`` is ``rate``; otherwise 0.
    ``suppression``: a list of suppressed addresses has lost changes that this process knows of, or is of another key.
    """

    until: int
    reason: ClosedReason
    batch: int = 1
    interval: int = 0


WaitScope = Literal["customer", "job", "campaign", "campaign_day"]


@dataclass(frozen=True, slots=True)
class Wait:
    """This job may not start before ``until``; other jobs of the shop may.

    With scope ``customer``, its customer is over a limit and ``until`` is the job's place in the customer's line. With
    scope ``campaign``, its campaign is over its pace, and ``place`` is the job's place in the campaign's line; it asks
    for it from ``until`` on, somewhat earlier. Where the line is too long for one more place, ``place`` is None, and at
    ``until`` there may be one. With scope ``campaign_day``, its campaign has had the calls of its day, which ends at
    ``until``. With scope ``job``, the job itself waits for a repeat or for the end of another worker's lease.
    """

    scope: WaitScope
    until: int
    place: int | None = None


@dataclass(frozen=True, slots=True)
class AlreadyAnswered:
    """There is nothing to do for this copy of the job.

    ``result`` is the result's JSON while no worker has settled it, so that this one publishes it again without a call.
    It is None once the job is done, and where another copy, with a later deadline, continues it.
    """

    epoch: int
    result: str | None


Reply = Grant | ShopClosed | Wait | AlreadyAnswered

Known = Literal["answered", "under_way", "expired", "cancelled"]
"""What the ledger knows of a job: it has a final result; it is being tried, or is to be tried again; or how it ended
without a call."""


MOST_CANCELLED = 1000
"""Names that may be cancelled at a time: every worker reads them once a second."""


class AdmissionStore(Protocol):
    """What a call goes through: granted, answered or repeated, settled. For the consumer and for dispatch.

    Each method of a store is atomic and safe to call from any thread. :meth:`submit` and :meth:`settle` return at once.
    The others block until the store has answered, a few time-outs of 0.5 s at the longest. Out of reach, they raise
    :class:`worker.errors.StoreError`, and no call may start.
    """

    def submit(
        self,
        requests: Sequence[AdmitRequest],
        reply: Callable[[list[Reply] | StoreError], None],
        *,
        turn: bool,
        holds: int,
    ) -> None:
        """Ask for jobs of one shop without waiting. After the first :class:`ShopClosed` all further jobs get it too.

        ``turn``: an earlier :class:`ShopClosed` told this process to come now. ``holds``: how many jobs of the shop the
        process has, these included. Where it comes in turn and holds more than it asks for, one more reply may follow,
        a :class:`ShopClosed`: its next turn, for which it would have to ask again. ``reply`` is called once: at once on
        the caller's thread (memory), or later on the store's own (Redis). It must not block there, for every other
        caller's reply waits behind it.
        """

    def admit(self, request: AdmitRequest) -> Reply:
        """Grant a call, with its tokens taken and its lease begun, or say why not and until when."""

    def answer(self, request: AdmitRequest, epoch: int, result: str) -> bool:
        """Record a final result (JSON). False: another epoch took the job over, and this result must not go out."""

    def retry(
        self,
        request: AdmitRequest,
        epoch: int,
        not_before: int,
        *,
        unknown: bool = False,
        spent: bool = True,
        elapsed: int = 0,
    ) -> bool:
        """Record that the call is to be repeated from ``not_before``. False as in :meth:`answer`.

        ``unknown``: the call may have been carried out. ``spent``: it counts as an attempt. ``elapsed``: for how many
        microseconds the job has been tried so far; the grants to come report it.
        """

    def release(self, request: AdmitRequest, epoch: int, *, called: bool, verified: bool = False) -> None:
        """Undo a grant as if it had not been. Its tokens are put back unless the call was made (``called``).

        ``verified``: reading back showed that none of the earlier calls was carried out.
        """

    def take_read(self, request: AdmitRequest) -> int | None:
        """Take a token for reading the customer's referrals back now. Otherwise return when there will be one."""

    def settle(
        self,
        request: AdmitRequest,
        epoch: int,
        outcome: Outcome,
        code: str | None = None,
        *,
        braking: Braking | None = None,
    ) -> None:
        """Count a result that RabbitMQ has confirmed under its campaign, and erase the result. Never raises.

        A job that ended as expired or cancelled becomes ``uncalled``. One that another copy's grant has replaced
        meanwhile is only counted. If the store is away, a warning is logged and the record stays ``answered``: another
        copy would publish the result again without a call.

        ``braking``: the campaign's brake, for which the result counts if the job was called. If it trips the brake, the
        store holds the campaign at the shop by an order of the worker's own, unless it is held already.
        """

    def block(self, shop: str, customer: str | None, until: int) -> None:
        """Grant no call of the customer (of the whole shop if None) before ``until``. A shorter one changes nothing."""

    def slow_down(self, request: AdmitRequest, granted_at: int) -> None:
        """Lower the shop's pace for every process: the provider found it too fast (:mod:`worker.limits.adaptive`).

        Calls that were granted (``granted_at``) before the pace fell say nothing new when they are refused as well, so
        only the first of them lowers it.
        """


class ShopStateStore(Protocol):
    """What workers record of a shop and of themselves, for each other and for an operator."""

    def note(self, shop: str, closure: Closure | None) -> None:
        """Record that the shop is closed, or open again (None). Does not wait; may be lost, which a warning logs."""

    def inspect(self, shop: str, limits: ShopLimits, campaign: str = "") -> ShopState:
        """Read what the store knows of a shop, and of a ``campaign`` of it. Changes nothing; blocks."""

    def note_closed(self, worker: str, reason: str) -> None:
        """Record for ``CLOSED_WORKER_KEPT`` that a worker process calls nobody. Does not wait; may be lost.

        ``worker`` is its host and its process id, ``reason`` one word.
        """

    def closed_workers(self) -> dict[str, str]:
        """Read which worker processes call nobody, and why. Blocks."""


class CountersStore(Protocol):
    """How many jobs of each campaign came to what, for ``referrals status``."""

    def tally(
        self,
        shop: str,
        campaign: str,
        counts: Mapping[str, int],
        *,
        done: Callable[[StoreError | None], None] | None = None,
    ) -> None:
        """Add to the counters of a campaign at a shop, such as ``published``. Does not wait; may be lost.

        ``done`` is called once, at once or later on the store's thread: with the reason where they are lost. Without it
        a warning is logged then.
        """

    def tallies(self, shop: str) -> dict[str, dict[str, int]]:
        """Read the counters of each campaign of the shop: those of :meth:`tally`, and results by
        :func:`worker.store.counting.counter_of`. Blocks.

        At most :data:`worker.store.counting.MOST_CAMPAIGNS` have their own; the others are counted together under
        :data:`worker.store.counting.OTHER_CAMPAIGNS`.
        """


class LedgerReader(Protocol):
    """What ``referrals publish`` asks before it sends jobs again."""

    def known(self, jobs: Sequence[tuple[str, str]]) -> list[Known | None]:
        """Look jobs up in the ledger by shop and job id; None for a job it does not know. Changes nothing; blocks."""


class StoreLifecycle(Protocol):
    """Starting and ending, for the code that builds the store."""

    def check(self) -> None:
        """Check, before anything starts, that the store can be relied on. Blocks.

        Raises:
          StoreError: it is out of reach.
          ConfigurationError: it can't be relied on, and asking again changes nothing.
        """

    def close(self) -> None:
        """Send what is waiting, and close what the store holds open."""


class Store(
    AdmissionStore,
    ShopStateStore,
    CountersStore,
    LedgerReader,
    ControlsStore,
    SuppressionStore,
    StoreLifecycle,
    Protocol,
):
    """All of it: what :func:`worker.store.factory.build_store` returns. Ask for the part that you use."""
