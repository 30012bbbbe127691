"""Every order of events of one job, as in the unit tests of the memory store, with the Redis store's ledger."""

import struct
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import pytest

from tests.integration.store.worlds import AHEAD, RedisWorld
from tests.unit.ledger_model import (
    DEADLINES,
    HERS,
    KINDS,
    RESULTS,
    SUPPRESSED,
    UNDATED,
    Copies,
    Ledger,
    RealLedger,
    Record,
    asking,
    search,
)
from tests.unit.making import NOON, make_request
from worker.shops.config import OnUnknown
from worker.store.protocol import AlreadyAnswered, Grant, Wait

T = TypeVar("T")
RECORD = b"rd:{acme}:j:" + make_request().job_id[8:].encode()
DAY_OF_NOON, NO_BASE, UNCHARGED = 0, 0, -1


class RedisLedger:
    """The Redis store's ledger, set and read in its records."""

    def __init__(self, world: RedisWorld) -> None:
        self._world = world
        self._request = make_request()
        self._state = (Record(), 0)
        self._given = 0

    def load(self, record: Record, epoch: int) -> None:
        self._state = (record, epoch)
        self._given = 0
        self._write(record)

    def answer(self, epoch: int, *, uncalled: bool = False) -> bool:
        return self._world.store.answer(self._request, epoch, RESULTS[uncalled])

    def retry(self, epoch: int, *, unknown: bool = False) -> bool:
        return self._world.store.retry(self._request, epoch, NOON + 1, unknown=unknown)

    def release(self, epoch: int, *, called: bool, verified: bool = False) -> None:
        self._world.store.release(self._request, epoch, called=called, verified=verified)

    def settle(self, epoch: int, *, uncalled: bool = False) -> None:
        self._world.store.settle(self._request, epoch, "expired" if uncalled else "sent")
        self._world.store.block("other", None, 0)  # waits until it is settled

    def admit(self, kind: int = UNDATED, *, without_call: bool = False) -> Grant | Wait | AlreadyAnswered:
        if kind == SUPPRESSED:
            self._world.store.suppress("acme", [HERS], 1)
        reply = self._world.store.admit(asking(kind, without_call=without_call))
        assert isinstance(reply, Grant | Wait | AlreadyAnswered), "no limit is meant to matter here"
        if isinstance(reply, Grant):
            # Epochs are drawn; the model counts them.
            self._given = reply.epoch
            return replace(reply, epoch=self._state[1] + 1, start_at=0, start_by=0)
        return reply

    def _write(self, record: Record) -> None:
        client, end = self._world.client, AHEAD + (NOON if record.due else NOON + 1)
        for key in client.keys("rd:*"):
            client.delete(key)
        epoch, latest = record.epoch.to_bytes(8), struct.pack(">q", DEADLINES[record.latest])
        if record.ended:
            client.set(RECORD, b"A" + epoch + RESULTS[True].encode())
            self.settle(record.epoch, uncalled=True)
        match record.kind:
            case "started":
                counts = (record.attempts, record.takeovers, record.unknown)
                charged = (UNCHARGED, UNCHARGED, UNCHARGED) if record.without_call else (DAY_OF_NOON, NO_BASE, NO_BASE)
                client.set(RECORD, b"S" + epoch + struct.pack(">qIIIiqqqqq", end, *counts, *charged, 0, 0, 0) + latest)
            case "waiting":
                rest = struct.pack(">IIIqq", record.attempts, record.takeovers, record.unknown, end, 0)
                client.set(RECORD, b"W" + epoch + rest + latest)
            case "answered":
                client.set(RECORD, b"A" + epoch + RESULTS[record.uncalled].encode())
            case "done":
                client.set(RECORD, b"A" + epoch + b"{}")
                self.settle(record.epoch)
            case "none":
                pass

    def save(self) -> Record:
        packed: bytes | None = self._world.client.get(RECORD)
        done, ended = (bool(self._world.client.keys(f"rd:*:{family}:*")) for family in ("d", "expired"))
        ended = ended and not done
        if packed is None:
            return Record("done" if done else "none", ended=ended)
        kind, epoch = packed[:1], int.from_bytes(packed[1:9])
        epoch = self._state[1] + 1 if epoch == self._given else epoch
        if kind == b"A":
            return Record("answered", epoch, uncalled=packed[9:] == RESULTS[True].encode(), ended=ended)
        (deadline,) = struct.unpack(">q", packed[-8:])
        latest = KINDS[deadline]
        if kind == b"S":
            lease, attempts, takeovers, unknowns, day = struct.unpack(">qIIIi", packed[9:33])
            counts = (attempts, takeovers, lease <= NOON + AHEAD, unknowns > 0)
            return Record("started", epoch, *counts, without_call=day == UNCHARGED, latest=latest, ended=ended)
        attempts, takeovers, unknowns, not_before, _ = struct.unpack(">IIIqq", packed[9:-8])
        counts = (attempts, takeovers, not_before <= NOON + AHEAD, unknowns > 0)
        return Record("waiting", 0, *counts, latest=latest, ended=ended)


class Alike:
    """The Redis store's ledger and the memory store's: whatever they are asked, they reply and keep the same."""

    def __init__(self, world: RedisWorld) -> None:
        self._ledgers = (RedisLedger(world), RealLedger())

    def _same(self, happens: Callable[[Ledger], T]) -> T:
        redis, memory = (happens(ledger) for ledger in self._ledgers)
        assert redis == memory
        return memory

    def load(self, record: Record, epoch: int) -> None:
        self._same(lambda ledger: ledger.load(record, epoch))

    def save(self) -> Record:
        return self._same(lambda ledger: ledger.save())

    def admit(self, kind: int = UNDATED, *, without_call: bool = False) -> Grant | Wait | AlreadyAnswered:
        return self._same(lambda ledger: ledger.admit(kind, without_call=without_call))

    def answer(self, epoch: int, *, uncalled: bool = False) -> bool:
        return self._same(lambda ledger: ledger.answer(epoch, uncalled=uncalled))

    def retry(self, epoch: int, *, unknown: bool = False) -> bool:
        return self._same(lambda ledger: ledger.retry(epoch, unknown=unknown))

    def release(self, epoch: int, *, called: bool, verified: bool = False) -> None:
        self._same(lambda ledger: ledger.release(epoch, called=called, verified=verified))

    def settle(self, epoch: int, *, uncalled: bool = False) -> None:
        self._same(lambda ledger: ledger.settle(epoch, uncalled=uncalled))


@pytest.mark.parametrize(
    ("faults", "on_unknown", "copies", "suppression"),
    [
        (0, "resend", (0, 0, 2), False),
        (3, "resend", (0, 0, 2), False),
        (3, "report", (0, 0, 2), False),
        (1, "verify", (0, 0, 2), False),
        (1, "resend", (1, 0, 1), False),
        (0, "verify", (1, 0, 1), False),
        (1, "resend", (0, 1, 0), False),
        (0, "report", (1, 1, 1), False),
        (1, "report", (0, 0, 2), True),
        (1, "verify", (0, 0, 2), True),
        (0, "resend", (1, 0, 1), True),
    ],
)
def test_every_order_of_events(
    shared: RedisWorld, faults: int, on_unknown: OnUnknown, copies: Copies, suppression: bool
) -> None:
    """With any faults at any step no promise is broken and the job can end, as with the memory store."""
    found = search(Alike(shared), faults=faults, on_unknown=on_unknown, copies=copies, suppression=suppression)
    assert found.stuck == []
    assert found.asked >= 10
