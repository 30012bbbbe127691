"""Every order of events of one job: several copies of it, several workers, a bounded number of faults.

A breadth-first search over all reachable states. The workers follow the order that the design prescribes (answer
recorded, result published, settled, acknowledged); the ledger is the real store's, or one that is to be shown wrong.
"""

from collections import defaultdict, deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

from tests.unit.making import NOON, make_ask
from worker.clock import ManualClock
from worker.shopfile import OnUnknown
from worker.store.base import Go, Seen, Wait
from worker.store.memory import Answered, MemoryStore, Started, Waiting

Step = Literal[
    "idle", "granted", "calling", "final", "again", "lost", "unread", "copied", "answered", "published", "settled"
]
"""How far a worker is with the copy in its hands.

``final``, ``again`` (nothing was done), ``lost`` (it may have been) and ``unread`` (reading back failed) are verdicts
that aren't recorded yet.
"""

MAX_ATTEMPTS = 3

INTERRUPTIBLE = {"calling", "final", "again", "lost"}
"""Steps at which a worker has made a call of which the ledger knows no outcome yet."""


class Record(NamedTuple):
    """What a ledger knows of the job. ``due``: the lease has ended, or the time to wait is over."""

    kind: Literal["none", "started", "waiting", "answered", "done"] = "none"
    epoch: int = 0
    attempts: int = 0
    takeovers: int = 0
    due: bool = True
    unknown: bool = False


class Worker(NamedTuple):
    """A worker. ``ticket``: its copy hasn't been delivered to somebody else behind its back. ``unknown``: its grant
    tells of earlier calls that may have been carried out. ``carried``: its own call was, whatever it hears of it.
    """

    step: Step = "idle"
    epoch: int = 0
    attempts: int = 0
    ticket: bool = False
    unknown: bool = False
    carried: bool = False


class State(NamedTuple):
    """One moment. ``tickets`` are the copies in the queue, ``result`` the epoch whose result was published (0: none).

    ``spare`` is how many more calls may start: one at first, one more for each repeat that the ledger or the provider
    asked for and for each call that a fault interrupted. ``carried``: some call was carried out (where the policy is
    to verify; for the others it makes no difference).
    """

    tickets: int
    workers: tuple[Worker, ...]
    record: Record
    spare: int
    answered: bool
    result: int
    faults: int
    carried: bool = False


class Ledger(Protocol):
    """A ledger that can be set to any record, for one job."""

    def load(self, record: Record, epoch: int) -> None:
        """``epoch`` is the highest that was ever given."""

    def save(self) -> Record: ...
    def admit(self) -> Go | Wait | Seen: ...
    def answer(self, epoch: int) -> bool: ...
    def retry(self, epoch: int, *, unknown: bool = False) -> bool: ...
    def release(self, epoch: int, *, called: bool, verified: bool = False) -> None: ...
    def settle(self, epoch: int) -> None: ...


class RealLedger:
    """The memory store's ledger. It is set and read from inside, since its states are what is searched."""

    def __init__(self) -> None:
        self._ask = make_ask()
        self._job = bytes.fromhex(self._ask.job_id)
        self._store = MemoryStore(ManualClock(NOON))

    def load(self, record: Record, epoch: int) -> None:
        self._store = store = MemoryStore(ManualClock(NOON))
        store._epoch = epoch
        end = NOON if record.due else NOON + 1
        match record.kind:
            case "started":
                store.restore_record(
                    self._ask.job_id,
                    Started(record.epoch, end, record.attempts, record.takeovers, NOON, record.unknown),
                )
            case "waiting":
                waiting = Waiting(record.attempts, record.takeovers, end, record.unknown)
                store.restore_record(self._ask.job_id, waiting)
            case "answered" | "done":
                store.restore_record(self._ask.job_id, Answered(record.epoch, "{}"))
            case "none":
                pass
        if record.kind == "done":
            store.settle(self._ask, record.epoch, "sent")

    def save(self) -> Record:
        match self._store._open.get(self._job):
            case Started(epoch, lease, attempts, takeovers, _, unknowns):
                return Record("started", epoch, attempts, takeovers, lease <= NOON, unknowns > 0)
            case Waiting(attempts, takeovers, not_before, unknowns):
                return Record("waiting", 0, attempts, takeovers, not_before <= NOON, unknowns > 0)
            case Answered(epoch, _):
                return Record("answered", epoch)
            case None:
                return Record("done" if any(self._job in day for day in self._store._done.values()) else "none")

    def admit(self) -> Go | Wait | Seen:
        reply = self._store.admit(self._ask)
        assert isinstance(reply, Go | Wait | Seen), "no limit is meant to matter here"
        return reply

    def answer(self, epoch: int) -> bool:
        return self._store.answer(self._ask, epoch, "{}")

    def retry(self, epoch: int, *, unknown: bool = False) -> bool:
        return self._store.retry(self._ask, epoch, NOON + 1, unknown=unknown)

    def release(self, epoch: int, *, called: bool, verified: bool = False) -> None:
        self._store.release(self._ask, epoch, called=called, verified=verified)

    def settle(self, epoch: int) -> None:
        self._store.settle(self._ask, epoch, "sent")


class BrokenPromiseError(AssertionError):
    """A promise that is broken, and the events that lead there."""


@dataclass(frozen=True)
class Found:
    """What a search came to: every state, and those from which the job can't be finished any more."""

    states: int
    stuck: list[State]


def search(
    ledger: Ledger, *, faults: int, copies: int = 2, workers: int = 2, on_unknown: OnUnknown = "resend"
) -> Found:
    """Visit every state.

    Raises:
      BrokenPromiseError: the first broken promise, by one of the shortest ways there.
    """
    model = _Model(ledger, on_unknown)
    start = State(copies, (Worker(),) * workers, Record(), spare=1, answered=False, result=0, faults=faults)
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
            broken = event if "BROKEN" in event else _broken(following)
            if broken:
                raise BrokenPromiseError("\n  ".join([broken, *_story(came_from, state), event]))
    finished = [state for state in came_from if _is_over(state)]
    return Found(len(came_from), _not_among(came_from, finished, before))


class _Model:
    def __init__(self, ledger: Ledger, on_unknown: OnUnknown) -> None:
        self._ledger = ledger
        self._on_unknown = on_unknown

    def events(self, state: State) -> Iterator[tuple[str, State]]:
        record = state.record
        if not record.due:
            holders = [worker for worker in state.workers if record.epoch and worker.epoch == record.epoch]
            # A lease outlasts any call, so that it ends under a living worker is a fault: somebody froze.
            if not holders or state.faults:
                interrupted = any(worker.step in INTERRUPTIBLE for worker in holders)
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
        interrupted = worker.step in INTERRUPTIBLE and self._holds(state, worker)
        yield (
            f"worker at {worker.step}, epoch {worker.epoch}: crashes",
            _requeued(faulty._replace(spare=state.spare + interrupted), place),
        )
        if worker.ticket:
            redelivered = _with(faulty, place, worker._replace(ticket=False))
            yield f"worker at {worker.step}: loses its connection", redelivered._replace(tickets=state.tickets + 1)

    @staticmethod
    def _holds(state: State, worker: Worker) -> bool:
        # Of an overtaken call the end of its lease has been counted already.
        return state.record == state.record._replace(kind="started", epoch=worker.epoch, due=False)

    def _calls_or_reads(self, state: State, place: int, worker: Worker) -> Iterator[tuple[str, State]]:
        verify = self._on_unknown == "verify"
        if not (verify and worker.unknown):
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
            self._ledger.load(state.record, _highest(state))
            self._ledger.release(worker.epoch, called=False, verified=True)
            yield "finds no referral", _requeued(state._replace(record=self._ledger.save()), place)
        step: Step = "unread" if worker.attempts < 2 * MAX_ATTEMPTS else "final"
        yield "can't read", _with(state, place, worker._replace(step=step))

    def _steps(self, state: State, place: int, worker: Worker) -> Iterator[tuple[str, State]]:
        def at(step: Step, **changes: int) -> State:
            return _with(state, place, worker._replace(step=step))._replace(**changes)  # type: ignore[arg-type]

        ledger, epoch = self._ledger, worker.epoch
        match worker.step:
            case "idle":
                if state.tickets:
                    yield self._admit(state, place)
            case "granted":
                ledger.load(state.record, _highest(state))
                ledger.release(epoch, called=False)
                yield "is too late", _requeued(state._replace(record=ledger.save()), place)
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
                ledger.load(state.record, _highest(state))
                ledger.release(epoch, called=True)
                spare = state.spare + self._holds(state, worker)
                yield "is told 429", _requeued(state._replace(record=ledger.save(), spare=spare), place)
            case "final":
                ledger.load(state.record, _highest(state))
                if ledger.answer(epoch):
                    recorded = state._replace(record=ledger.save(), answered=True)
                    yield "records the answer", _with(recorded, place, worker._replace(step="answered"))
                    yield "records the answer and isn't told so", _requeued(recorded, place)
                else:
                    yield "is fenced", _requeued(state, place)
            case "again" | "lost" | "unread":
                ledger.load(state.record, _highest(state))
                if ledger.retry(epoch, unknown=worker.step == "lost"):
                    # Of a read that failed nothing follows.
                    waiting = state._replace(record=ledger.save(), spare=state.spare + (worker.step != "unread"))
                    yield "records the repeat; no copy is confirmed", _requeued(waiting, place)
                    copied = _with(waiting, place, worker._replace(step="copied"))
                    yield "records the repeat and publishes a copy", copied._replace(tickets=state.tickets + 1)
                else:
                    yield "is fenced", _requeued(state, place)
            case "copied":
                yield "acknowledges", _with(state, place, Worker())
            case "answered":
                broken = "BROKEN: two results" if state.result not in {0, epoch} else "publishes"
                yield broken, at("published", result=state.result or epoch)
                yield "publishes and hears of no confirm", _requeued(state._replace(result=epoch), place)
                yield "can't publish", _requeued(state, place)
            case "published":
                ledger.load(state.record, _highest(state))
                ledger.settle(epoch)
                yield "settles", at("settled")._replace(record=ledger.save())
                yield "can't settle", at("settled")
            case "settled":
                broken = "BROKEN: acknowledged without a result" if not state.result else "acknowledges"
                yield broken, _with(state, place, Worker())

    def _admit(self, state: State, place: int) -> tuple[str, State]:
        taken = state._replace(tickets=state.tickets - 1)
        self._ledger.load(state.record, _highest(state))
        reply = self._ledger.admit()
        match reply:
            case Wait():
                return "takes a copy and has to wait", state
            case Seen(_, None):
                return "takes a copy that is done", _with(taken, place, Worker("settled", ticket=True))
            case Seen(epoch, _):
                worker = Worker("answered", epoch, ticket=True)
                return "takes a copy whose result is known", _with(taken, place, worker)
            case Go(epoch, _, _, attempts, takeovers, unknowns):
                uncalled = attempts > MAX_ATTEMPTS or (takeovers > 0 and self._on_unknown == "report")
                if self._on_unknown == "verify" and unknowns:
                    uncalled = False
                elif uncalled and state.carried:
                    return "BROKEN: ended as not carried out", state
                step: Step = "final" if uncalled else "granted"
                worker = Worker(step, epoch, attempts, ticket=True, unknown=unknowns > 0)
                return "takes a copy and is granted", _with(taken, place, worker)._replace(record=self._ledger.save())


def _with(state: State, place: int, worker: Worker) -> State:
    workers = list(state.workers)
    workers[place] = worker
    return state._replace(workers=tuple(workers))


def _requeued(state: State, place: int) -> State:
    tickets = state.tickets + state.workers[place].ticket
    return _with(state, place, Worker())._replace(tickets=tickets)


def _highest(state: State) -> int:
    return max(state.record.epoch, state.result, *(worker.epoch for worker in state.workers))


def _normal(state: State) -> State:
    # Only the order of epochs matters, and not which worker is which: without this there'd be no end of states.
    epochs = {state.record.epoch, state.result, *(worker.epoch for worker in state.workers)} - {0}
    names = {epoch: name for name, epoch in enumerate(sorted(epochs), start=1)} | {0: 0}
    return state._replace(
        workers=tuple(sorted(worker._replace(epoch=names[worker.epoch]) for worker in state.workers)),
        record=state.record._replace(epoch=names[state.record.epoch]),
        result=names[state.result],
    )


def _broken(state: State) -> str | None:
    if state.spare < 0:
        return "BROKEN: a call that nothing asked for"
    if not state.result and not state.tickets and not any(worker.ticket for worker in state.workers):
        return "BROKEN: the job is gone and has no result"
    return None


def _is_over(state: State) -> bool:
    idle = all(worker.step == "idle" for worker in state.workers)
    return idle and not state.tickets and state.result > 0


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
