"""What a store is asked and what it answers.

A message is only a ticket; the ledger in the store decides what becomes of its job::

    none ─admit─► started(epoch, lease, attempts, takeovers) ─answer─► answered(epoch, result) ─settle─► done(outcome)
     ▲                │  ▲                    └─release: an unused grant undoes itself       │
     │           retry│  │admit when due                                                     │settle: it ended as
     │                ▼  │                                                                   │expired or cancelled
     │            waiting(attempts, unknowns, elapsed, not_before)                           ▼
     └──────────────────admit: a copy that is to be called ──────────────────────────────uncalled

Several messages can carry one job id, and who comes first doesn't decide for the others. A copy that is to be called is
called although another one ended as expired or cancelled before (``uncalled``, or ``answered`` so). A copy that has
expired ends nothing that another copy with a later deadline has begun. docs/messages.md has the table.

Instants are microseconds of the store's clock.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from worker.errors import StoreError
from worker.limits.token_bucket import ShopLimits
from worker.model.controls import Controls
from worker.model.result import Outcome
from worker.store.timing import NO_DEADLINE

ClosedReason = Literal["rate", "day_quota", "throttled"]


@dataclass(frozen=True, slots=True)
class AdmitRequest:
    """One job that wants to be called. ``customer`` is the key its limits are counted by, empty for nobody.

    ``place_in_line`` is the one in the customer's line that an earlier :class:`Wait` handed out. ``lease`` is the
    longest that the call can last, in microseconds. ``uncalled`` is how the job ends without a call, which no limit
    holds back. ``campaign`` is what the job is counted under. ``deadline`` is the job's ``not_after`` as its message
    has it; it is compared with those of other copies of the job, never with a clock.
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


@dataclass(frozen=True, slots=True)
class Grant:
    """The call may start, from ``start_at`` and not after ``start_by``.

    ``attempts`` counts this call; ``takeovers`` the earlier ones that were started and whose worker was never heard of
    again; ``unknowns`` all earlier ones that may have been carried out for all that is known, takeovers included.
    ``elapsed`` is what :meth:`Store.retry` was told.

    To be shown only: ``overtaken`` tells that this grant is such a takeover, ``calls_today`` how many calls the shop
    has had since its day's reset, this one included (None for a job that ends without a call).
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


@dataclass(frozen=True, slots=True)
class ShopClosed:
    """No job of the shop before ``until``; then it is worth asking for ``batch`` of them at once.

    ``interval`` tells, where ``reason`` is ``rate``, how far apart the shop's calls are at present.
    """

    until: int
    reason: ClosedReason
    batch: int = 1
    interval: int = 0


@dataclass(frozen=True, slots=True)
class Wait:
    """Not this job before ``until``: its customer is held back, and ``until`` is its place in the customer's line;
    or the job itself waits for a repeat or for another worker's lease. Other jobs of the shop may go.
    """

    scope: Literal["customer", "job"]
    until: int


@dataclass(frozen=True, slots=True)
class AlreadyAnswered:
    """There is nothing to do for this copy of the job. ``result`` is the result's JSON while nobody has settled it,
    None once it is done, or where another copy, which has a later deadline, goes on with it.
    """

    epoch: int
    result: str | None


Reply = Grant | ShopClosed | Wait | AlreadyAnswered

Known = Literal["answered", "under_way", "expired", "cancelled"]
"""What the ledger knows of a job: that it has a final result; that it is being tried, or is to be tried again; or how
it has ended without a call."""


@dataclass(frozen=True, slots=True)
class Closure:
    """Why some worker closed a shop, by which code of its answers, and until when nobody tries whether it may open."""

    reason: str
    code: str
    until: int


@dataclass(frozen=True, slots=True)
class ShopState:
    """What the store knows of a shop at ``at``: the interval between its calls, until when the provider has blocked it
    (0: it hasn't), its calls since the day's reset, and the closure that a worker has told of last, unless that
    worker has opened the shop since.
    """

    at: int
    interval: int
    blocked_until: int
    calls_today: int
    closure: Closure | None


MOST_CANCELLED = 1000
"""Names that may be cancelled at a time: every worker reads them once a second."""


class Store(Protocol):
    """Limits and ledger. Every method is atomic and safe to call from any thread.

    All but :meth:`submit`, :meth:`settle`, :meth:`note` and :meth:`watch` wait for the store and raise
    :class:`worker.errors.StoreError` when it is out of reach; nothing may be called then.
    """

    def check(self) -> None:
        """See, before anything starts, that the store can be relied on.

        Raises:
          ConfigurationError: it can't, and asking again changes nothing.
        """

    def close(self) -> None:
        """Let go of what the store holds open."""

    def submit(
        self,
        requests: Sequence[AdmitRequest],
        reply: Callable[[list[Reply] | StoreError], None],
        *,
        turn: bool,
        holds: int,
    ) -> None:
        """Ask for jobs of one shop without waiting; once a job is told :class:`ShopClosed`, so are those after it.

        ``turn`` says that an earlier :class:`ShopClosed` told this process to come now, ``holds`` how many jobs of the
        shop it has at hand, these included. ``reply`` is called once, at once or later from another thread.
        """

    def admit(self, request: AdmitRequest) -> Reply:
        """Grant a call, with its tokens taken and its lease begun, or say why not and until when."""

    def answer(self, request: AdmitRequest, epoch: int, result: str) -> bool:
        """Record a final result (JSON). False: another epoch took the job over and this result must not go out."""

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

        ``unknown``: the call may have been carried out. ``spent``: it counts as an attempt. ``elapsed``: for how long
        the job has been tried then, in microseconds; it is kept for the grants to come.
        """

    def release(self, request: AdmitRequest, epoch: int, *, called: bool, verified: bool = False) -> None:
        """Undo a grant as if it had not been. Its tokens go back unless the call was made (``called``).

        ``verified``: none of the earlier calls has been carried out after all.
        """

    def take_read(self, request: AdmitRequest) -> int | None:
        """Take a token for reading the customer's referrals back now; else when there will be one."""

    def settle(self, request: AdmitRequest, epoch: int, outcome: Outcome, code: str | None = None) -> None:
        """The result is in safe hands: count it under its campaign, drop what was personal.

        A job that ended as expired or cancelled is kept apart from those that are done. One whose end another copy's
        grant has overtaken meanwhile is only counted.
        """

    def known(self, jobs: Sequence[tuple[str, str]]) -> list[Known | None]:
        """What the ledger knows of jobs, given as shop and job id; None of those it doesn't know. Changes nothing."""

    def block(self, shop: str, customer: str | None, until: int) -> None:
        """Let nobody of the customer (of the whole shop if None) start before ``until``."""

    def slow_down(self, request: AdmitRequest, granted_at: int) -> None:
        """The provider found the shop too fast: lower its pace for everybody (:mod:`worker.limits.adaptive`).

        Of several calls that were granted (``granted_at``) before the pace fell, the first has said it for all.
        """

    def note(self, shop: str, closure: Closure | None) -> None:
        """Let everybody know that the shop is closed, or that it is open again. Without waiting; may get lost."""

    def tally(
        self, shop: str, campaign: str, counts: Mapping[str, int], *, lost: Callable[[StoreError], None] | None = None
    ) -> None:
        """Add to the counters of a campaign at a shop, such as ``published``. Without waiting; may get lost.

        ``lost`` is told if they were, maybe from another thread; without it a warning is logged.
        """

    def tallies(self, shop: str) -> dict[str, dict[str, int]]:
        """The counters of each campaign of the shop: those of :meth:`tally`, and results by :func:`counter_of`.

        Of :data:`MOST_CAMPAIGNS` campaigns at most; the others' are together under :data:`OTHER_CAMPAIGNS`.
        """

    def inspect(self, shop: str, limits: ShopLimits) -> ShopState:
        """What there is to know of a shop; changes nothing."""

    def watch(self, known: int, reply: Callable[[Controls | StoreError | None], None]) -> None:
        """Look without waiting at what an operator has stopped.

        ``reply`` is called once, at once or later from another thread: with None if the version ``known`` still holds.
        """

    def controls(self) -> Controls:
        """What an operator has stopped."""

    def pause(self, shop: str, reason: str) -> Controls:
        """Let no call of the shop start (of any shop: ``EVERY_SHOP``) until :meth:`resume`; it never ends by itself."""

    def resume(self, shop: str) -> Controls:
        """Lift that pause."""

    def limit(self, shop: str, interval: int, reason: str, until: int) -> Controls:
        """Let the shop's calls be ``interval`` microseconds apart at least, until ``until`` or :meth:`unlimit`."""

    def unlimit(self, shop: str) -> Controls:
        """Lift that limit."""

    def cancel(self, campaign: str, shop: str) -> Controls:
        """End the campaign's jobs, of one shop or of every one, without a call; remembered for ``CANCELLED_FOR``.

        Its name is as :func:`worker.model.job.canonical` makes it.
        """

    def restore(self, campaign: str, shop: str) -> Controls:
        """Let what is left of the campaign be called again, as if it had not been cancelled."""
