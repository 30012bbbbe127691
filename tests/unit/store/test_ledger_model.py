"""The ledger's promises over every order of events: none is broken, and the search would find it if one were."""

import pytest

from tests.unit.ledger_model import UNDATED, BrokenPromiseError, Copies, RealLedger, Record, search
from worker.shops.config import OnUnknown
from worker.store.protocol import AlreadyAnswered, Grant, Wait


def test_without_a_fault() -> None:
    """Two copies, two workers, no fault: one call for each repeat that was asked for and one more, one result."""
    found = search(RealLedger(), faults=0)
    assert found.stuck == []
    assert found.states >= 100, found.states


@pytest.mark.parametrize(("on_unknown", "states"), [("resend", 12_000), ("report", 10_000)])
def test_three_faults(on_unknown: OnUnknown, states: int) -> None:
    """With any three crashes, freezes or lost connections at any step, every promise holds and the job can end."""
    found = search(RealLedger(), faults=3, on_unknown=on_unknown)
    assert found.stuck == []
    assert found.states >= states, found.states


def test_verify() -> None:
    """Where lost answers are verified no call is made after one that was carried out, whatever the faults and reads."""
    found = search(RealLedger(), faults=2, on_unknown="verify")
    assert found.stuck == []
    assert found.states >= 10_000, found.states


@pytest.mark.parametrize(
    ("copies", "faults", "on_unknown", "states"),
    [
        ((1, 0, 1), 1, "resend", 9_000),
        ((1, 0, 1), 1, "report", 9_000),
        ((1, 0, 1), 0, "verify", 4_000),
        ((0, 1, 1), 1, "resend", 30_000),
        ((0, 1, 0), 1, "resend", 7_000),
        ((1, 1, 1), 0, "report", 5_000),
    ],
)
def test_copies_that_expire(copies: Copies, faults: int, on_unknown: OnUnknown, states: int) -> None:
    """Whatever copies expire, before or meanwhile, one without a deadline is called, once, and each job ends."""
    found = search(RealLedger(), faults=faults, copies=copies, on_unknown=on_unknown)
    assert found.stuck == []
    assert found.states >= states, found.states


@pytest.mark.parametrize(
    ("copies", "faults", "on_unknown", "states"),
    [
        ((0, 0, 2), 1, "resend", 5_000),
        ((0, 0, 2), 1, "report", 4_500),
        ((0, 0, 2), 1, "verify", 40_000),
        ((1, 0, 1), 0, "resend", 3_000),
    ],
)
def test_a_suppressed_address(copies: Copies, faults: int, on_unknown: OnUnknown, states: int) -> None:
    """Whenever it is suppressed, each job ends, and none that may have been called ends as not called."""
    found = search(RealLedger(), faults=faults, copies=copies, on_unknown=on_unknown, suppression=True)
    assert found.stuck == []
    assert found.states >= states, found.states


class HastyLedger(RealLedger):
    """Takes a job that ended without a call for done."""

    def settle(self, epoch: int, *, uncalled: bool = False) -> None:
        del uncalled
        super().settle(epoch)


class GullibleLedger(RealLedger):
    """Hands a recorded result to every copy, whatever the result says."""

    def admit(self, kind: int = UNDATED, *, without_call: bool = False) -> Grant | Wait | AlreadyAnswered:
        return super().admit(kind, without_call=without_call or self.save().uncalled)


@pytest.mark.parametrize("ledger", [HastyLedger(), GullibleLedger()])
def test_who_is_first_does_not_decide(ledger: RealLedger) -> None:
    """If an end without a call were final, recorded or settled, the copy that is to be called would be lost."""
    with pytest.raises(BrokenPromiseError, match="BROKEN: acknowledged without a result"):
        search(ledger, faults=0, copies=(1, 0, 1))


class PushyLedger(RealLedger):
    """Lets any copy that has expired end what was begun."""

    def admit(self, kind: int = UNDATED, *, without_call: bool = False) -> Grant | Wait | AlreadyAnswered:
        return super().admit(UNDATED if without_call else kind, without_call=without_call)


def test_deadlines_are_needed() -> None:
    """If an expired copy could end any job, one that another copy is trying would be given up."""
    with pytest.raises(BrokenPromiseError, match="BROKEN: ended what a copy with a later deadline had begun"):
        search(PushyLedger(), faults=0, copies=(1, 0, 1))


class CarelessLedger(RealLedger):
    """Forgets that an outcome is unknown once the job waits for its repeat."""

    def retry(self, epoch: int, *, unknown: bool = False) -> bool:
        del unknown
        return super().retry(epoch)


def test_unknowns_are_needed() -> None:
    """Without a record of lost answers nobody would verify them, and calls would be carried out twice."""
    with pytest.raises(BrokenPromiseError, match="BROKEN: carried out twice"):
        search(CarelessLedger(), faults=0, on_unknown="verify")


class TrustingLedger(RealLedger):
    """Takes every released grant for verified."""

    def release(self, epoch: int, *, called: bool, verified: bool = False) -> None:
        del verified
        super().release(epoch, called=called, verified=True)


def test_a_release_keeps_unknowns() -> None:
    """If a late grant's release hid the lost answers before it, calls would be carried out twice."""
    with pytest.raises(BrokenPromiseError, match=r"BROKEN: (?:carried out twice|ended)"):
        search(TrustingLedger(), faults=0, on_unknown="verify")


def test_three_workers() -> None:
    """A third worker and a third copy change nothing."""
    found = search(RealLedger(), faults=2, copies=(0, 0, 3), workers=3)
    assert found.stuck == []
    assert found.states >= 10_000, found.states


class NaiveLedger(RealLedger):
    """Three states and nothing else: none, started, done. Who meets `started` can't tell a crash from a call."""

    def __init__(self) -> None:
        super().__init__()
        self._record = Record()
        self._epoch = 0

    def load(self, record: Record, epoch: int) -> None:
        self._record, self._epoch = record, epoch

    def save(self) -> Record:
        return self._record

    def admit(self, kind: int = UNDATED, *, without_call: bool = False) -> Grant | Wait | AlreadyAnswered:
        del kind, without_call
        if self._record.kind == "done":
            return AlreadyAnswered(0, None)
        self._record = Record("started", self._epoch + 1, due=False)
        return Grant(self._epoch + 1, 0, 0, attempts=1, takeovers=0)

    def answer(self, epoch: int, *, uncalled: bool = False) -> bool:
        del epoch, uncalled
        return True

    def settle(self, epoch: int, *, uncalled: bool = False) -> None:
        del epoch, uncalled
        self._record = Record("done")


def test_three_states_are_not_enough() -> None:
    """A ledger of none, started and done calls twice with no fault at all."""
    with pytest.raises(BrokenPromiseError, match="BROKEN: a call") as violation:
        search(NaiveLedger(), faults=0)
    assert "crashes" not in str(violation.value)


class UnfencedLedger(RealLedger):
    """Accepts any answer, whichever worker has the job now."""

    def answer(self, epoch: int, *, uncalled: bool = False) -> bool:
        record = self.save()
        self.load(record._replace(kind="started", epoch=epoch), max(epoch, record.epoch))
        return super().answer(epoch, uncalled=uncalled)


def test_fencing_is_needed() -> None:
    """Without the epoch's comparison a worker that was frozen has its own result published beside another one."""
    search(UnfencedLedger(), faults=0)
    with pytest.raises(BrokenPromiseError, match="BROKEN"):
        search(UnfencedLedger(), faults=1)


class LeaselessLedger(RealLedger):
    """Hands a job that was started to the next worker at once."""

    def admit(self, kind: int = UNDATED, *, without_call: bool = False) -> Grant | Wait | AlreadyAnswered:
        record = self.save()
        self.load(record._replace(due=True), record.epoch)
        return super().admit(kind, without_call=without_call)


def test_the_lease_is_needed() -> None:
    """Without leases a second copy is called while the first one's call is under way."""
    with pytest.raises(BrokenPromiseError, match="BROKEN: a call"):
        search(LeaselessLedger(), faults=0)


class ForgetfulLedger(RealLedger):
    """Records no answer: a job is started until it is done."""

    def answer(self, epoch: int, *, uncalled: bool = False) -> bool:
        record = self.save()
        accepted = super().answer(epoch, uncalled=uncalled)
        self.load(record, record.epoch)
        return accepted

    def settle(self, epoch: int, *, uncalled: bool = False) -> None:
        super().answer(epoch, uncalled=uncalled)
        super().settle(epoch, uncalled=uncalled)


def test_the_recorded_answer_is_needed() -> None:
    """If only the settled result were recorded, a crash between answer and settling would call again."""
    with pytest.raises(BrokenPromiseError, match="BROKEN: a call after the final answer"):
        search(ForgetfulLedger(), faults=1)
