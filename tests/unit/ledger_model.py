"""Every order of events of one job: several copies of it, several workers, a bounded number of faults.

Copies differ in their deadlines. The first kind's is over from the start, the second kind's passes at some moment, of
which not every clock shows at once, the third has none. All of them may be suppressed at some moment, after which each
that asks ends without a call.

A breadth-first search over all reachable states. The workers follow the order that the design prescribes (answer
recorded, result published, settled, acknowledged); the ledger is the real store's, or one that is to be shown wrong.
It is asked once for each record and event: the search meets each of the few hundred some hundred times.
"""

from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, Protocol, TypeVar

from tests.unit.making import NOON, make_request
from worker.clock import ManualClock
from worker.shops.config import OnUnknown
from worker.store.memory.ledger import Answered, Started, Waiting
from worker.store.memory.ledger import Ledger as MemoryLedger
from worker.store.memory.store import MemoryStore
from worker.store.protocol import AdmitRequest, AlreadyAnswered, Grant, Wait
from worker.store.timing import NO_DEADLINE

T = TypeVar("T")

Step = Literal[
    "idle", "granted", "calling", "final", "again", "lost", "unread", "copied", "answered", "published", "settled"
]
"""How far a worker is with the copy in its hands.

``final``, ``again`` (nothing was done), ``lost`` (it may have been) and ``unread`` (reading back failed) are verdicts
that aren't recorded yet.
"""

MAX_ATTEMPTS = 3

EXPIRED, DATED, UNDATED = 1, 2, 3
"""Kinds of copies; the later the deadline, the higher. 0 is a deadline that nobody knows."""

SUPPRESSED = 4
"""Asks in place of its kind where the customer's address is suppressed by now."""

HERS = b"her address"

DEADLINES = {0: -(1 << 62), EXPIRED: 1, DATED: 2, UNDATED: NO_DEADLINE}

Copies = tuple[int, int, int]
"""How many copies of each kind."""

RESULTS = {False: "{}", True: '{"outcome":"expired"}'}
"""What is recorded of a job that was called, and of one that was not."""

INTERRUPTIBLE = {"calling", "final", "again", "lost"}
"""Steps at which a worker has made a call of which the ledger knows no outcome yet."""


class Record(NamedTuple):
    """What a ledger knows of the job. ``due``: the lease has ended, or the time to wait is over. ``without_call``: who
    was granted it makes no call. ``latest``: the highest kind of copy that was granted a call. ``uncalled``: the answer
    says that no call was made. ``ended``: a copy ended without a call before.
    """

    kind: Literal["none", "started", "waiting", "answered", "done"] = "none"
    epoch: int = 0
    attempts: int = 0
    takeovers: int = 0
    due: bool = True
    unknown: bool = False
    without_call: bool = False
    latest: int = 0
    uncalled: bool = False
    ended: bool = False


class Worker(NamedTuple):
    """A worker. ``ticket``: its copy hasn't been redelivered to another worker meanwhile. ``unknown``: its grant
    reports earlier calls that may have been carried out. ``carried``: its own call was, whatever answer it gets.
    ``kind`` is its copy's. ``without_call``: it was granted an end without a call. ``uncalled``: its result says that
    nobody was called.
    """

    step: Step = "idle"
    epoch: int = 0
    attempts: int = 0
    ticket: bool = False
    unknown: bool = False
    carried: bool = False
    kind: int = 0
    without_call: bool = False
    uncalled: bool = False


class State(NamedTuple):
    """One moment. ``tickets`` are the copies in the queue, ``result`` the epoch whose final result was published (0:
    none), ``notice`` that one without a call was published, ``late`` that the deadline of dated copies has passed,
    ``suppressed`` that the address was suppressed (None: nobody will).

    ``spare`` is how many more calls may start: one at first, one more for each repeat that the ledger or the provider
    asked for and for each call that a fault interrupted. ``carried``: some call was carried out (where the policy is
    to verify; for the others it makes no difference).
    """

    tickets: Copies
    workers: tuple[Worker, ...]
    record: Record
    spare: int
    answered: bool
    result: int
    faults: int
    carried: bool = False
    notice: bool = False
    late: bool = False
    suppressed: bool | None = None


class Ledger(Protocol):
    """A ledger that can be set to any record, for one job."""

    def load(self, record: Record, epoch: int) -> None:
        """``epoch`` is the highest that was ever given."""

    def save(self) -> Record: ...
    def admit(self, kind: int = UNDATED, *, without_call: bool = False) -> Grant | Wait | AlreadyAnswered: ...
    def answer(self, epoch: int, *, uncalled: bool = False) -> bool: ...
    def retry(self, epoch: int, *, unknown: bool = False) -> bool: ...
    def release(self, epoch: int, *, called: bool, verified: bool = False) -> None: ...
    def settle(self, epoch: int, *, uncalled: bool = False) -> None: ...


class RealLedger:
    """The memory store's ledger: set and read record by record, and asked through the store."""

    def __init__(self) -> None:
        self._request = make_request()
        self._job = bytes.fromhex(self._request.job_id)
        self._renew(0)

    def _renew(self, last_epoch: int) -> None:
        self._ledger = MemoryLedger(retention_days=30, last_epoch=last_epoch)
        self._store = MemoryStore(ManualClock(NOON), ledger=self._ledger)

    def load(self, record: Record, epoch: int) -> None:
        self._renew(epoch)
        if record.ended:
            self._ledger.load(self._job, Answered(epoch, RESULTS[True]))
            self._store.settle(self._request, epoch, "expired")
        end = NOON if record.due else NOON + 1
        latest = DEADLINES[record.latest]
        counts = (record.attempts, record.takeovers)
        match record.kind:
            case "started":
                started = Started(
                    record.epoch, end, *counts, record.unknown, deadline=latest, uncalled=record.without_call
                )
                self._ledger.load(self._job, started)
            case "waiting":
                self._ledger.load(self._job, Waiting(*counts, end, record.unknown, deadline=latest))
            case "answered" | "done":
                self._ledger.load(self._job, Answered(record.epoch, RESULTS[record.uncalled]))
            case "none":
                pass
        if record.kind == "done":
            self._store.settle(self._request, record.epoch, "sent")

    def save(self) -> Record:
        ended = self._ledger.finished.uncalled_as(self._job) == "expired"
        match self._ledger.record_of(self._job):
            case Started(epoch, lease, attempts, takeovers, unknowns=unknowns, deadline=latest, uncalled=without_call):
                counts = (attempts, takeovers, lease <= NOON, unknowns > 0)
                return Record("started", epoch, *counts, without_call=without_call, latest=KINDS[latest], ended=ended)
            case Waiting(attempts, takeovers, not_before, unknowns, deadline=latest):
                counts = (attempts, takeovers, not_before <= NOON, unknowns > 0)
                return Record("waiting", 0, *counts, latest=KINDS[latest], ended=ended)
            case Answered(epoch, result):
                return Record("answered", epoch, uncalled=result == RESULTS[True], ended=ended)
            case None if self._ledger.finished.is_done(self._job):
                return Record("done")
            case None:
                return Record(ended=ended)

    def admit(self, kind: int = UNDATED, *, without_call: bool = False) -> Grant | Wait | AlreadyAnswered:
        if kind == SUPPRESSED:
            self._store.suppress("acme", [HERS], 1)
        reply = self._store.admit(asking(kind, without_call=without_call))
        assert isinstance(reply, Grant | Wait | AlreadyAnswered), "no limit is meant to matter here"
        # Nor does the time of a call.
        return replace(reply, start_at=0, start_by=0) if isinstance(reply, Grant) else reply

    def answer(self, epoch: int, *, uncalled: bool = False) -> bool:
        return self._store.answer(self._request, epoch, RESULTS[uncalled])

    def retry(self, epoch: int, *, unknown: bool = False) -> bool:
        return self._store.retry(self._request, epoch, NOON + 1, unknown=unknown)

    def release(self, epoch: int, *, called: bool, verified: bool = False) -> None:
        self._store.release(self._request, epoch, called=called, verified=verified)

    def settle(self, epoch: int, *, uncalled: bool = False) -> None:
        self._store.settle(self._request, epoch, "expired" if uncalled else "sent")


KINDS = {deadline: kind for kind, deadline in DEADLINES.items()}


def asking(kind: int, *, without_call: bool) -> AdmitRequest:
    """What a copy of this kind asks the store; ``without_call``: its worker takes it for expired."""
    if kind == SUPPRESSED:
        return replace(make_request(), addresses=(HERS,))
    return replace(make_request(), deadline=DEADLINES[kind], uncalled="expired" if without_call else None)


class BrokenPromiseError(AssertionError):
    """A promise that is broken, and the events that lead there."""


@dataclass(frozen=True)
class Found:
    """What a search came to: every state, those from which the job can't be finished any more, and how many different
    questions the ledger was asked.
    """

    states: int
    stuck: list[State]
    asked: int


def search(
    ledger: Ledger,
    *,
    faults: int,
    copies: Copies = (0, 0, 2),
    workers: int = 2,
    on_unknown: OnUnknown = "resend",
    suppression: bool = False,
) -> Found:
    """Visit every state. ``copies`` are those that have expired at the start, those that will, and those without a
    deadline. ``suppression``: the address is suppressed at some moment.

    Raises:
      BrokenPromiseError: the first broken promise, by one of the shortest ways there.
    """
    model = _Model(ledger, on_unknown)
    start = State(copies, (Worker(),) * workers, Record(), spare=1, answered=False, result=0, faults=faults)
    start = start._replace(suppressed=False if suppression else None)
    came_from: dict[State, tuple[State, str] | None] = {start: None}
    before: dict[State, list[State]] = defaultdict(list)
    todo = deque([start])
    while todo:
        state = todo.popleft()
        for event, reached in model.events(state):
            following = _normal(reached)
            before[following].append(state)
            if following not in came_from:
                came_from[following] = (state, event)
                todo.append(following)
            broken = event if "BROKEN" in event else _broken(following, copies)
            if broken:
                raise BrokenPromiseError("\n  ".join([broken, *_story(came_from, state), event]))
    finished = [state for state in came_from if _is_over(state, copies)]
    return Found(len(came_from), _not_among(came_from, finished, before), model.asked)


class _Model:
    def __init__(self, ledger: Ledger, on_unknown: OnUnknown) -> None:
        self._ledger = ledger
        self._on_unknown = on_unknown
        self._known: dict[object, tuple[object, Record]] = {}

    @property
    def asked(self) -> int:
        return len(self._known)

    def _ask(self, state: State, event: object, happens: Callable[[], T]) -> tuple[T, Record]:
        # What the ledger replies to an event, and what it knows of the job after it.
        question = (state.record, highest := _highest(state), event)
        if question not in self._known:
            self._ledger.load(state.record, highest)
            reply = happens()
            self._known[question] = (reply, self._ledger.save())
        return self._known[question]  # type: ignore[return-value]  # what the same event came to before

    def _released(self, state: State, epoch: int, *, called: bool, verified: bool = False) -> Record:
        event = ("release", epoch, called, verified)
        return self._ask(state, event, lambda: self._ledger.release(epoch, called=called, verified=verified))[1]

    def events(self, state: State) -> Iterator[tuple[str, State]]:
        record = state.record
        if not state.late and (state.tickets[DATED - 1] or any(worker.kind == DATED for worker in state.workers)):
            yield "a deadline passes", state._replace(late=True)
        if state.suppressed is False:
            yield "the address is suppressed", state._replace(suppressed=True)
        if not record.due:
            holders = [worker for worker in state.workers if record.epoch and worker.epoch == record.epoch]
            # A lease outlasts any call. That it ends under a living worker is a fault: the worker froze.
            if not holders or state.faults:
                interrupted = any(_interruptible(worker) for worker in holders)
                yield (
                    "time passes",
                    state._replace(
                        record=record._replace(due=True),
                        faults=state.faults - bool(holders),
                        spare=state.spare + interrupted,
                    ),
                )
        for place, worker in enumerate(state.workers):
            if state.workers.index(worker) == place:
                yield from self._faults(state, place, worker)
                for event, following in self._steps(state, place, worker):
                    yield f"worker at {worker.step}, epoch {worker.epoch}: {event}", following

    def _faults(self, state: State, place: int, worker: Worker) -> Iterator[tuple[str, State]]:
        if worker.step == "idle" or not state.faults:
            return
        faulty = state._replace(faults=state.faults - 1)
        interrupted = _interruptible(worker) and self._holds(state, worker)
        yield (
            f"worker at {worker.step}, epoch {worker.epoch}: crashes",
            _requeued(faulty._replace(spare=state.spare + interrupted), place),
        )
        if worker.ticket:
            redelivered = _with(faulty, place, worker._replace(ticket=False))
            yield f"worker at {worker.step}: loses its connection", _offered(redelivered, worker.kind)

    @staticmethod
    def _holds(state: State, worker: Worker) -> bool:
        # Of an overtaken call the end of its lease has been counted already.
        return state.record == state.record._replace(kind="started", epoch=worker.epoch, due=False)

    @staticmethod
    def _ends(state: State, place: int, worker: Worker) -> tuple[str, State]:
        # Without a call.
        uncalled = not worker.unknown
        event = "ends without a call"
        if uncalled and state.carried:
            event = "BROKEN: ended as not carried out"
        if state.record.latest > worker.kind and not state.suppressed:
            event = "BROKEN: ended what a copy with a later deadline had begun"
        return event, _with(state, place, worker._replace(step="final", uncalled=uncalled))

    def _calls_or_reads(self, state: State, place: int, worker: Worker) -> Iterator[tuple[str, State]]:
        verify = self._on_unknown == "verify"
        if not (verify and worker.unknown):
            if worker.without_call:
                yield self._ends(state, place, worker)
                return
            calls = state._replace(spare=state.spare - 1)
            broken = "BROKEN: a call after the final answer" if state.answered else "calls"
            yield broken, _with(calls, place, worker._replace(step="calling"))
            if verify:
                broken = "BROKEN: carried out twice" if state.carried else "calls; it is carried out"
                carrying = worker._replace(step="calling", carried=True)
                yield broken, _with(calls._replace(carried=True), place, carrying)
            return
        if state.carried:
            yield "finds the referral", _with(state, place, worker._replace(step="final"))
        else:
            verified = state._replace(record=self._released(state, worker.epoch, called=False, verified=True))
            yield "finds no referral", _requeued(verified, place)
        step: Step = "unread" if worker.attempts < 2 * MAX_ATTEMPTS else "final"
        yield "can't read", _with(state, place, worker._replace(step=step))

    def _steps(self, state: State, place: int, worker: Worker) -> Iterator[tuple[str, State]]:
        def at(step: Step, **changes: int) -> State:
            return _with(state, place, worker._replace(step=step))._replace(**changes)  # type: ignore[arg-type]

        ledger, epoch = self._ledger, worker.epoch
        match worker.step:
            case "idle":
                yield from self._admitted(state, place)
            case "granted":
                released = self._released(state, epoch, called=False)
                yield "is too late", _requeued(state._replace(record=released), place)
                # Beyond its lease it is beyond the grant's own end too, and starts nothing.
                if self._holds(state, worker):
                    yield from self._calls_or_reads(state, place, worker)
            case "calling":
                yield "gets a final answer", at("final")
                if self._on_unknown == "verify":
                    yield "gets no answer", at("lost")
                    if worker.carried:
                        return
                if self._on_unknown != "report" or worker.attempts < MAX_ATTEMPTS:
                    yield "is to call again", at("again" if worker.attempts < MAX_ATTEMPTS else "final")
                released = self._released(state, epoch, called=True)
                spare = state.spare + self._holds(state, worker)
                yield "is answered 429", _requeued(state._replace(record=released, spare=spare), place)
            case "final":
                event = ("answer", epoch, worker.uncalled)
                accepted, record = self._ask(state, event, lambda: ledger.answer(epoch, uncalled=worker.uncalled))
                if accepted:
                    recorded = state._replace(record=record, answered=state.answered or not worker.uncalled)
                    yield "records the answer", _with(recorded, place, worker._replace(step="answered"))
                    yield "records the answer and gets no reply", _requeued(recorded, place)
                else:
                    yield "is fenced", _requeued(state, place)
            case "again" | "lost" | "unread":
                unknown = worker.step == "lost"
                event = ("retry", epoch, unknown)
                accepted, record = self._ask(state, event, lambda: ledger.retry(epoch, unknown=unknown))
                if accepted:
                    # Of a read that failed nothing follows.
                    waiting = state._replace(record=record, spare=state.spare + (worker.step != "unread"))
                    yield "records the repeat; no copy is confirmed", _requeued(waiting, place)
                    copied = _with(waiting, place, worker._replace(step="copied"))
                    yield "records the repeat and publishes a copy", _offered(copied, worker.kind)
                else:
                    yield "is fenced", _requeued(state, place)
            case "copied":
                yield "acknowledges", _with(state, place, Worker())
            case "answered" if worker.uncalled:
                yield "publishes that it was not called", at("published", notice=True)
                yield "publishes it and gets no confirm", _requeued(state._replace(notice=True), place)
                yield "can't publish", _requeued(state, place)
            case "answered":
                broken = "BROKEN: two results" if state.result not in {0, epoch} else "publishes"
                yield broken, at("published", result=state.result or epoch)
                yield "publishes and gets no confirm", _requeued(state._replace(result=epoch), place)
                yield "can't publish", _requeued(state, place)
            case "published":
                event = ("settle", epoch, worker.uncalled)
                _, record = self._ask(state, event, lambda: ledger.settle(epoch, uncalled=worker.uncalled))
                yield "settles", at("settled")._replace(record=record)
                yield "can't settle", at("settled")
            case "settled":
                broken = "BROKEN: acknowledged without a result" if self._is_owed(state, worker) else "acknowledges"
                yield broken, _with(state, place, Worker())

    @staticmethod
    def _is_owed(state: State, worker: Worker) -> bool:
        if state.result or (worker.without_call and state.notice):
            return False
        # A copy that has expired may leave the job to one with a later deadline.
        others = [kind for kind, count in enumerate(state.tickets, start=1) if count]
        others += [other.kind for other in state.workers if other.ticket]
        return not worker.without_call or not any(kind > worker.kind for kind in others)

    def _admitted(self, state: State, place: int) -> Iterator[tuple[str, State]]:
        for kind, count in enumerate(state.tickets, start=1):
            if count and state.suppressed:
                yield self._admit(state, place, kind, without_call=True)
                continue
            if count and (kind != EXPIRED):
                yield self._admit(state, place, kind, without_call=False)
            if count and (kind == EXPIRED or (kind == DATED and state.late)):
                yield self._admit(state, place, kind, without_call=True)

    def _admit(self, state: State, place: int, kind: int, *, without_call: bool) -> tuple[str, State]:
        left = [count - (number == kind) for number, count in enumerate(state.tickets, start=1)]
        taken = state._replace(tickets=(left[0], left[1], left[2]))
        asked = SUPPRESSED if state.suppressed else kind
        event = ("admit", asked, without_call)
        reply, record = self._ask(state, event, lambda: self._ledger.admit(asked, without_call=without_call))
        copy = f"takes a copy of kind {kind}{' that is to end' if without_call else ''}"
        base = Worker(ticket=True, kind=kind, without_call=without_call)
        match reply:
            case Wait():
                return f"{copy} and has to wait", state
            case AlreadyAnswered(_, None):
                return f"{copy} that is done", _with(taken, place, base._replace(step="settled"))
            case AlreadyAnswered(epoch, result):
                worker = base._replace(step="answered", epoch=epoch, uncalled=result == RESULTS[True])
                return f"{copy} whose result is known", _with(taken, place, worker)
            case Grant(epoch, _, _, attempts, _, unknowns):
                uncalled = attempts > MAX_ATTEMPTS or (unknowns > 0 and self._on_unknown == "report")
                if without_call or (self._on_unknown == "verify" and unknowns):
                    uncalled = False
                elif uncalled and state.carried:
                    return "BROKEN: ended as not carried out", state
                step: Step = "final" if uncalled else "granted"
                worker = base._replace(step=step, epoch=epoch, attempts=attempts, unknown=unknowns > 0)
                return f"{copy} and is granted", _with(taken, place, worker)._replace(record=record)


def _interruptible(worker: Worker) -> bool:
    return worker.step in INTERRUPTIBLE and not worker.without_call


def _with(state: State, place: int, worker: Worker) -> State:
    workers = list(state.workers)
    workers[place] = worker
    return state._replace(workers=tuple(workers))


def _requeued(state: State, place: int) -> State:
    worker = state.workers[place]
    idle = _with(state, place, Worker())
    return _offered(idle, worker.kind) if worker.ticket else idle


def _offered(state: State, kind: int) -> State:
    more = [count + (number == kind) for number, count in enumerate(state.tickets, start=1)]
    return state._replace(tickets=(more[0], more[1], more[2]))


def _highest(state: State) -> int:
    return max(state.record.epoch, state.result, *(worker.epoch for worker in state.workers))


def _normal(state: State) -> State:
    # Only the order of epochs matters, and not which worker is which: without this there'd be no end of states.
    epochs = {state.record.epoch, state.result, *(worker.epoch for worker in state.workers)} - {0}
    if not epochs or max(epochs) == len(epochs):
        return state._replace(workers=tuple(sorted(state.workers)))
    names = {epoch: name for name, epoch in enumerate(sorted(epochs), start=1)} | {0: 0}
    return state._replace(
        workers=tuple(sorted(worker._replace(epoch=names[worker.epoch]) for worker in state.workers)),
        record=state.record._replace(epoch=names[state.record.epoch]),
        result=names[state.result],
    )


def _broken(state: State, copies: Copies) -> str | None:
    if state.spare < 0:
        return "BROKEN: a call that nothing asked for"
    if (
        not any(state.tickets)
        and not any(worker.ticket for worker in state.workers)
        and not _is_answered(state, copies)
    ):
        return "BROKEN: the job is gone and has no result"
    return None


def _is_answered(state: State, copies: Copies) -> bool:
    # A copy without a deadline gets its call, whatever became of the others, unless it is suppressed.
    return state.result > 0 or (state.notice and (bool(state.suppressed) or not copies[UNDATED - 1]))


def _is_over(state: State, copies: Copies) -> bool:
    idle = all(worker.step == "idle" for worker in state.workers)
    return idle and not any(state.tickets) and _is_answered(state, copies)


def _not_among(
    states: dict[State, tuple[State, str] | None], finished: list[State], before: dict[State, list[State]]
) -> list[State]:
    reaching = set(finished)
    todo = deque(finished)
    while todo:
        for earlier in before[todo.popleft()]:
            if earlier not in reaching:
                reaching.add(earlier)
                todo.append(earlier)
    return [state for state in states if state not in reaching]


def _story(came_from: dict[State, tuple[State, str] | None], last: State) -> list[str]:
    events: list[str] = []
    step = came_from[last]
    while step is not None:
        events.append(step[1])
        step = came_from[step[0]]
    return events[::-1]
