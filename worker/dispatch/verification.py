"""What became of a call whose answer was lost: the customer's referrals are read before anybody calls again."""

from collections.abc import Callable

from worker.clock import Clock
from worker.dispatch.granted import GrantedJob
from worker.dispatch.recorder import RETRY_CAP, Recorder
from worker.instants import SECOND
from worker.model.dispositions import Disposition, Return
from worker.model.job import Job
from worker.model.verdicts import Found, Halted, Missing, Reading, Refused, Rejected, Retry, Throttled, Unknown
from worker.shops.config import ShopConfig
from worker.store.protocol import AdmissionStore
from worker.telemetry.metrics.process import Metrics

VERIFY_AFTER = 10 * SECOND
"""The earliest that the referrals are read after a lost answer. Refer2 may hold a call back for up to 5 s and carry it
out after the connection is gone; a read before that would find nothing and cause a second call."""

DEFAULT_THROTTLE = SECOND
"""How long a 429 without a readable ``Retry-After`` blocks; the vendor's shortest window is a second."""


class Verifier:
    """Looks a job's referral up and concludes from it. Any worker thread may call it.

    ``read_back`` makes the read and may block for the longest call that a lease allows for.
    """

    def __init__(
        self,
        *,
        recorder: Recorder,
        read_back: Callable[[ShopConfig, Job], Reading],
        store: AdmissionStore,
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self._recorder = recorder
        self._read_back = read_back
        self._store = store
        self._clock = clock
        self._metrics = metrics

    def verify(self, granted: GrantedJob) -> Disposition:
        """Read the customer's referrals once and record what that shows.

        A grant is used for one exchange, the read or the call, so that its lease and its 250 ms never have to cover
        two. A referral that is missing is therefore released as an ordinary repeat, and its next grant is for the call.

        Raises:
          worker.errors.StoreError: what was found could not be recorded.
        """
        recorder, request, grant = self._recorder, granted.request, granted.grant
        began_at = self._clock.now()
        # Reads count against limits of their own at the vendor, so their tokens come from a bucket of their own.
        until = recorder.insist(request, grant, lambda: self._store.take_read(request))
        if until is not None:
            recorder.release(request, grant, called=False)
            return Return(grant.epoch, scope="customer", until=until)
        reading = self._read_back(granted.shop, granted.job)
        self._metrics.verified(reading)
        match reading:
            case Found():
                return recorder.finish(granted, "sent", found=reading)
            case Missing():
                recorder.release(request, grant, called=False, verified=True)
                return Return(grant.epoch, verified=True)
            case Rejected():
                # Another read would be refused alike, and this one says nothing about the call.
                return recorder.finish(granted, "unknown", code=reading.code)
            case Throttled(retry_after=wait):
                recorder.release(request, grant, called=False)
                return Return(grant.epoch, scope="customer", until=self._clock.now() + (wait or DEFAULT_THROTTLE))
            case Halted() if granted.ends_if_refused:
                # The token may call, and may not read.
                return recorder.finish(granted, "unknown", code=reading.code)
            case Halted():
                # The job leaves the head of its shop's queue for minutes: where a token may call and not read, the
                # shop's other jobs go on.
                wait = RETRY_CAP // 2 + recorder.wait(granted)
                return recorder.retry(granted, reading, began_at, wait=wait, spent=False)
            case Refused(status=status, code=code) | Unknown(status=status, code=code):
                # A read changes nothing, so a lost one counts like one that never arrived.
                return self._read_failed(granted, Retry(status, code), began_at)
            case Retry(status=None):
                return recorder.retry(granted, reading, began_at, wait=recorder.wait(granted), spent=False)
            case Retry():
                return self._read_failed(granted, reading, began_at)

    def _read_failed(self, granted: GrantedJob, verdict: Retry, began_at: int) -> Disposition:
        # A failed read is an attempt, like a failed call. Reads and calls together get twice the shop's attempts, so
        # that the last call still has reads left to find its outcome.
        most = 2 * granted.shop.max_attempts
        again = self._recorder.retry_unless_exhausted(granted, verdict, began_at, most=most)
        return again or self._recorder.finish(granted, "unknown", code="unverified")
