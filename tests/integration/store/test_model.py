"""Every order of events of one job, as in the unit tests of the memory store, with the Redis store's ledger."""

import struct
from collections.abc import Callable
from typing import TypeVar

import pytest

from tests.integration.store.worlds import AHEAD, RedisWorld
from tests.unit.ledger_model import RealLedger, Record, search
from tests.unit.making import NOON, make_ask
from worker.shopfile import OnUnknown
from worker.store.base import Go, Seen, Wait

T = TypeVar("T")
RECORD = b"rd:{acme}:j:" + make_ask().job_id[8:].encode()
DAY_OF_NOON, NO_BASE = 0, 0


class RedisLedger:
    """The Redis store's ledger, set and read in its records.

    It is asked once for each state and event: the search meets each of the few hundred some hundred times.
    """

    def __init__(self, world: RedisWorld) -> None:
        self._world = world
        self._ask = make_ask()
        self._state = (Record(), 0)
        self._known: dict[object, tuple[object, Record]] = {}

    @property
    def asked(self) -> int:
        """How many different questions the store was asked."""
        return len(self._known)

    def load(self, record: Record, epoch: int) -> None:
        self._state = (record, epoch)

    def save(self) -> Record:
        return self._state[0]

    def admit(self) -> Go | Wait | Seen:
        return self._event("admit", self._admit)

    def answer(self, epoch: int) -> bool:
        return self._event(("answer", epoch), lambda: self._world.store.answer(self._ask, epoch, "{}"))

    def retry(self, epoch: int, *, unknown: bool = False) -> bool:
        store = self._world.store
        return self._event(("retry", epoch, unknown), lambda: store.retry(self._ask, epoch, NOON + 1, unknown=unknown))

    def release(self, epoch: int, *, called: bool, verified: bool = False) -> None:
        store = self._world.store
        self._event(
            ("release", epoch, verified), lambda: store.release(self._ask, epoch, called=called, verified=verified)
        )

    def settle(self, epoch: int) -> None:
        def settle() -> None:
            self._world.store.settle(self._ask, epoch, "sent")
            self._world.store.block("other", None, 0)  # waits until it is settled

        self._event(("settle", epoch), settle)

    def _admit(self) -> Go | Wait | Seen:
        reply = self._world.store.admit(self._ask)
        assert isinstance(reply, Go | Wait | Seen), "no limit is meant to matter here"
        if isinstance(reply, Go):
            # Epochs are drawn; the model counts them.
            self._given = reply.epoch
            return Go(self._state[1] + 1, 0, 0, reply.attempts, reply.takeovers, reply.unknowns)
        return reply

    def _event(self, event: object, happens: Callable[[], T]) -> T:
        question = (*self._state, event)
        if question not in self._known:
            self._given = 0
            self._write(self._state[0])
            outcome = happens()
            self._known[question] = (outcome, self._read())
        outcome, record = self._known[question]  # type: ignore[assignment]  # what the same event came to before
        self._state = (record, max(self._state[1], record.epoch))
        return outcome

    def _write(self, record: Record) -> None:
        client, end = self._world.client, AHEAD + (NOON if record.due else NOON + 1)
        for key in client.keys("rd:*"):
            client.delete(key)
        epoch = record.epoch.to_bytes(8)
        match record.kind:
            case "started":
                counts = (record.attempts, record.takeovers, record.unknown)
                rest = struct.pack(">qIIIiqqq", end, *counts, DAY_OF_NOON, NO_BASE, NO_BASE, 0)
                client.set(RECORD, b"S" + epoch + rest)
            case "waiting":
                rest = struct.pack(">IIIqq", record.attempts, record.takeovers, record.unknown, end, 0)
                client.set(RECORD, b"W" + epoch + rest)
            case "answered":
                client.set(RECORD, b"A" + epoch + b"{}")
            case "done":
                client.set(RECORD, b"A" + epoch + b"{}")
                self._world.store.settle(self._ask, record.epoch, "sent")
            case "none":
                pass

    def _read(self) -> Record:
        packed: bytes | None = self._world.client.get(RECORD)
        if packed is None:
            return Record("done" if self._world.client.keys("rd:*:d:*") else "none")
        kind, epoch = packed[:1], int.from_bytes(packed[1:9])
        epoch = self._state[1] + 1 if epoch == self._given else epoch
        if kind == b"S":
            lease, attempts, takeovers, unknowns = struct.unpack(">qIII", packed[9:29])
            return Record("started", epoch, attempts, takeovers, lease <= NOON + AHEAD, unknowns > 0)
        if kind == b"W":
            attempts, takeovers, unknowns, not_before, _ = struct.unpack(">IIIqq", packed[9:])
            return Record("waiting", 0, attempts, takeovers, not_before <= NOON + AHEAD, unknowns > 0)
        return Record("answered", epoch)


@pytest.mark.parametrize(("faults", "on_unknown"), [(0, "resend"), (3, "resend"), (3, "report"), (1, "verify")])
def test_every_order_of_events(shared: RedisWorld, faults: int, on_unknown: OnUnknown) -> None:
    """With any faults at any step no promise is broken and the job can end, as with the memory store."""
    ledger = RedisLedger(shared)
    found = search(ledger, faults=faults, on_unknown=on_unknown)
    assert found.stuck == []
    assert found.states == search(RealLedger(), faults=faults, on_unknown=on_unknown).states
    assert ledger.asked >= 10
