"""Reads the run's jobs ahead, on a thread of its own: a window of an export takes a second, and the gate must not stop
for that.
"""

import queue
import threading
from collections.abc import Callable

from worker.embedded.state import RunState
from worker.errors import ReferralError, raised_at
from worker.model.job import Job

READ_AHEAD = 2_000
"""Jobs read from the source before there is room for them; hides the time that reading takes."""


class JobReader(threading.Thread):
    """Fills a bounded queue. ``wake`` is called when the queue was empty and when the source has ended.

    :meth:`take`, :meth:`has_more` and :meth:`stop` are the consumer's thread's.
    """

    def __init__(self, state: RunState, wake: Callable[[], None]) -> None:
        super().__init__(name="reader", daemon=True)
        self._state = state
        self._wake = wake
        self._jobs: queue.Queue[Job] = queue.Queue(READ_AHEAD)
        self._stopping = threading.Event()
        self._exhausted = False

    def run(self) -> None:
        """Read until the source ends, fails or is stopped."""
        try:
            for job in self._state.jobs:
                while not self._stopping.is_set():
                    try:
                        self._jobs.put(job, timeout=0.1)
                    except queue.Full:
                        continue
                    break
                if self._stopping.is_set():
                    return
                if self._jobs.qsize() == 1:
                    self._wake()
        except ReferralError as error:
            self._state.fail(error)
        except Exception as error:  # noqa: BLE001 - the run ends with it, in one line
            self._state.fail(
                ReferralError(
                    f"reading the export failed: {type(error).__name__} at {raised_at(error)}; report it, please"
                )
            )
        finally:
            self._exhausted = True
            self._wake()

    def take(self) -> Job | None:
        """The next job that has been read; None where there is none at the moment."""
        try:
            return self._jobs.get_nowait()
        except queue.Empty:
            return None

    def has_more(self) -> bool:
        """Whether another job may come."""
        # In this order: what was put before the end was noticed is still seen.
        exhausted = self._exhausted
        return not exhausted or not self._jobs.empty()

    def stop(self) -> None:
        """Read no more; waits for the thread to end."""
        self._stopping.set()
        self.join()
