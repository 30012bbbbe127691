"""The store of a single process: one lock around the ledger, the buckets and the counters."""

import threading
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from worker.clock import Clock
from worker.errors import StoreError
from worker.instants import DAY
from worker.limits.token_bucket import ShopLimits
from worker.model.controls import EVERY_SHOP
from worker.model.names import campaign_key
from worker.model.outcomes import UNCALLED, Outcome
from worker.model.suppression import NO_KEY, UNFINISHED
from worker.store.braking import Braking, braked_reason, code_counted
from worker.store.counting import MOST_COUNTERS, counter_of
from worker.store.memory.brakes import LastResults, Tripped
from worker.store.memory.buckets import Buckets, Charge
from worker.store.memory.controls import MemoryControls
from worker.store.memory.ledger import Ledger, Record
from worker.store.memory.suppression import SuppressedAddresses
from worker.store.memory.tallies import Tallies, counters_for
from worker.store.protocol import AdmitRequest, AlreadyAnswered, Known, Reply, ShopClosed, Wait
from worker.store.shop_state import Closure, ShopState
from worker.store.timing import CLOSED_WORKER_KEPT, CLOSURE_OUTLIVES


class MemoryStore(MemoryControls):
    """Limits and ledger in this process's memory; they go with it, so one process must be the only one.

    A finished job costs about 100 bytes until ``retention`` (microseconds) has passed; with 0 it is forgotten at
    once, which suits a caller that offers each job once only. ``horizon`` is how far ahead calls are granted; with 0
    no turns are given either, which suits one process; only simulations have several. ``ledger`` is one that has
    records already, in place of an empty one.

    Nothing here waits for more than the lock, which is held for some microseconds. Replies come at once, on the
    caller's thread.
    """

    def __init__(
        self, clock: Clock, *, retention: int = 30 * DAY, horizon: int = 0, ledger: Ledger | None = None
    ) -> None:
        super().__init__(clock)
        self._lock = threading.Lock()
        self._ledger = Ledger(retention_days=-(-retention // DAY)) if ledger is None else ledger
        self._buckets = Buckets(clock.ahead, horizon)
        self._tallies: defaultdict[str, Tallies] = defaultdict(dict)
        self._closures: dict[str, Closure] = {}
        self._closed_workers: dict[str, tuple[str, int]] = {}
        self._results: dict[tuple[str, str], LastResults] = {}
        self._suppressed = SuppressedAddresses()

    def check(self) -> None:
        """Memory is always there."""

    def close(self) -> None:
        """Nothing is held open."""

    def submit(
        self,
        requests: Sequence[AdmitRequest],
        reply: Callable[[list[Reply] | StoreError], None],
        *,
        turn: bool,
        holds: int,
    ) -> None:
        """As :class:`worker.store.protocol.AdmissionStore` says; replies at once, on the caller's thread."""
        replies: list[Reply] = []
        for request in requests:
            refused = replies and isinstance(replies[-1], ShopClosed)
            replies.append(replies[-1] if refused else self._admit(request, turn=turn, holds=holds))
        if turn and holds > len(requests) and not isinstance(replies[-1], ShopClosed):
            now = self._clock.now()
            with self._lock:
                next_turn = self._buckets.next_turn(requests[0], now, holds - len(requests))
            if next_turn is not None:
                replies.append(next_turn)
        reply(replies)

    def admit(self, request: AdmitRequest) -> Reply:
        return self._admit(request, turn=False, holds=1)

    def _admit(self, request: AdmitRequest, *, turn: bool, holds: int) -> Reply:
        # Read before the lock, so that two threads may enter in the other order: to limits that is a clock that steps
        # back, which only makes them stricter.
        now = self._clock.now()
        job = bytes.fromhex(request.job_id)
        with self._lock:
            suppressed = not request.uncalled and self._suppressed.is_suppressed(request.shop, request.addresses)
            if suppressed:
                request = replace(request, uncalled="cancelled")
            # The ledger is asked first: what is done, or under way elsewhere, must take no token.
            earlier = self._ledger.find(request, job, now)
            if isinstance(earlier, (Wait, AlreadyAnswered)):
                return earlier
            # It makes no call, so no limit holds it back and no token is taken.
            if request.uncalled:
                grant = self._ledger.start(request, job, earlier, None, now)
                return replace(grant, suppressed=True) if suppressed else grant
            charge = self._buckets.charge(request, now, turn=turn, holds=holds)
            if isinstance(charge, Charge):
                return self._ledger.start(request, job, earlier, charge, now)
            return charge

    def answer(self, request: AdmitRequest, epoch: int, result: str) -> bool:
        # The epoch is compared under the lock: no takeover can come between.
        with self._lock:
            return self._ledger.answer(bytes.fromhex(request.job_id), epoch, result)

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
        job = bytes.fromhex(request.job_id)
        with self._lock:
            return self._ledger.retry(job, epoch, not_before, unknown=unknown, spent=spent, elapsed=elapsed)

    def release(self, request: AdmitRequest, epoch: int, *, called: bool, verified: bool = False) -> None:
        with self._lock:
            undone = self._ledger.release(bytes.fromhex(request.job_id), epoch, verified=verified)
            # A call that was made has used its tokens, whatever became of it. A second release finds no grant.
            if undone is not None and undone.charge is not None and not called:
                self._buckets.refund(request, undone.charge)

    def take_read(self, request: AdmitRequest) -> int | None:
        now = self._clock.now()
        with self._lock:
            return self._buckets.take_read(request, now)

    def settle(
        self,
        request: AdmitRequest,
        epoch: int,
        outcome: Outcome,
        code: str | None = None,
        *,
        braking: Braking | None = None,
    ) -> None:
        now = self._clock.now()
        with self._lock:
            settled = self._ledger.settle(bytes.fromhex(request.job_id), epoch, outcome, now)
            # A copy that ended without a call, while another one was granted its call, is counted all the same: its
            # result is out.
            if settled or outcome in UNCALLED:
                counters = counters_for(self._tallies[request.shop], request.campaign)
                is_one_more = outcome == "rejected" and len(counters) >= MOST_COUNTERS
                counters[counter_of(outcome, "other" if is_one_more else code)] += 1
            tripped = self._count_result(request, outcome, code, braking) if settled and braking is not None else None
        if braking is not None and tripped is not None:
            reason = braked_reason(tripped.bad, braking.brake.window, tripped.code, tripped.of_code)
            self.brake_campaign(request.campaign, request.shop, braking, reason)

    def _count_result(
        self, request: AdmitRequest, outcome: Outcome, code: str | None, braking: Braking
    ) -> Tripped | None:
        counted = code_counted(outcome, code)
        if counted is None:
            return None
        brake, key = braking.brake, (request.shop, campaign_key(request.campaign))
        results = self._results.get(key)
        if results is None or results.armed < brake.armed:
            results = self._results[key] = LastResults(brake)
        elif results.armed > brake.armed:
            return None
        return results.count(counted, brake)

    def known(self, jobs: Sequence[tuple[str, str]]) -> list[Known | None]:
        with self._lock:
            return [self._ledger.known(bytes.fromhex(job_id)) for _, job_id in jobs]

    def tally(
        self,
        shop: str,
        campaign: str,
        counts: Mapping[str, int],
        *,
        done: Callable[[StoreError | None], None] | None = None,
    ) -> None:
        """As :class:`worker.store.protocol.CountersStore` says; nothing is ever lost."""
        with self._lock:
            counters_for(self._tallies[shop], campaign).update(counts)
        if done is not None:
            done(None)

    def tallies(self, shop: str) -> dict[str, dict[str, int]]:
        with self._lock:
            return {campaign: dict(counters) for campaign, counters in self._tallies[shop].items()}

    def block(self, shop: str, customer: str | None, until: int) -> None:
        with self._lock:
            self._buckets.block(shop, customer, until)

    def slow_down(self, request: AdmitRequest, granted_at: int) -> None:
        now = self._clock.now()
        with self._lock:
            self._buckets.slow_down(request, granted_at, now)

    def note(self, shop: str, closure: Closure | None) -> None:
        with self._lock:
            if closure is None:
                self._closures.pop(shop, None)
            else:
                self._closures[shop] = closure

    def inspect(self, shop: str, limits: ShopLimits, campaign: str = "") -> ShopState:
        now = self._clock.now()
        with self._lock:
            state, closure = self._buckets.shop(shop), self._closures.get(shop)
            calls, urgent, paced = self._buckets.calls_today(shop, limits, now, campaign)
            return ShopState(
                at=now,
                interval=state.rate(limits, now).interval,
                blocked_until=state.blocked_until if state.blocked_until > now else 0,
                calls_today=calls,
                closure=closure if closure and now < closure.until + CLOSURE_OUTLIVES else None,
                urgent_today=urgent,
                campaign_today=paced,
            )

    def note_closed(self, worker: str, reason: str) -> None:
        with self._lock:
            self._closed_workers[worker] = reason, self._clock.now() + CLOSED_WORKER_KEPT

    def closed_workers(self) -> dict[str, str]:
        now = self._clock.now()
        with self._lock:
            return {worker: reason for worker, (reason, until) in self._closed_workers.items() if now < until}

    def suppress(
        self, shop: str, addresses: Sequence[bytes], number: int, *, to_come: int = 0, whole: bool = True
    ) -> int:
        del to_come  # a set has room
        with self._lock:
            changed, total = self._suppressed.add(shop, addresses)
        self.listed(shop, total, number, NO_KEY if whole else UNFINISHED)
        return changed

    def unsuppress(self, shop: str, addresses: Sequence[bytes], number: int, *, whole: bool = True) -> int:
        with self._lock:
            changed, total = self._suppressed.remove(shop, addresses)
        self.listed(shop, total, number, NO_KEY if whole else UNFINISHED)
        return changed

    def mark_unfinished(self) -> None:
        self.listed(EVERY_SHOP, 0, 0, UNFINISHED)

    def entries(self, shop: str) -> list[bytes]:
        with self._lock:
            return self._suppressed.all_of(shop)

    def suppressed(self, shop: str, addresses: Sequence[bytes]) -> list[bool]:
        with self._lock:
            return self._suppressed.of(shop, addresses)

    def look_up(self, shop: str, addresses: Sequence[bytes], reply: Callable[[list[bool] | StoreError], None]) -> None:
        reply(self.suppressed(shop, addresses))

    def load_shop(self, shop: str, limits: ShopLimits, state: ShopState, campaign: str) -> None:
        """Put in what another store knows of the shop and the campaign (:meth:`inspect`), as of now; closures are left
        out.
        """
        now = self._clock.now()
        with self._lock:
            self._buckets.load_shop(shop, limits, state, now, campaign)

    def count_earlier_call(self, request: AdmitRequest, at: int) -> None:
        """Count a call that an earlier process made at ``at`` against the limits; calls may come in any order."""
        now = self._clock.now()
        with self._lock:
            self._buckets.count_earlier_call(request, at, now)

    def load_record(self, job_id: str, record: Record) -> None:
        """Put in the record of a job that an earlier process left open."""
        with self._lock:
            self._ledger.load(bytes.fromhex(job_id), record)
