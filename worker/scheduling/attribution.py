"""Whether a job's failing calls are its own trouble or its shop's.

A job whose text displeases a firewall is refused for ever; a shop with a wrong token refuses everybody. What other jobs
of the shop were answered meanwhile tells the two apart: nobody else can.

Pure; the time is an argument (microseconds). Runs on the consumer's thread.
"""

import re
from dataclasses import dataclass, replace
from typing import Protocol

from worker.instants import SECOND

EVERYBODY = 3
"""So many different jobs in trouble since the shop's last good answer count as the shop's trouble. One job's text can
displease a firewall; three in a row are hardly chance, and closing the shop costs the others five seconds."""

REFUSALS = 3
"""Calls of one job that are refused before it ends. Two may be a firewall that comes and goes: the second time, too, it
may have refused everybody, and this job was only the first to notice."""

TOKEN_TAKEN = 2
"""A job may be refused while no other job of the shop is answered. After so many refusals, each after Status2 had
accepted the token, one more ends the job."""

THROTTLES = 3
"""After so many 429s of one job, each followed by good answers to others, a further one counts for its customer and not
for its shop."""

FORGOTTEN_AFTER = 3600 * SECOND
"""Older trouble says nothing about how others fare now."""

NOBODY: frozenset[str] = frozenset()
"""No jobs in trouble, as at nearly all of a process's thousands of shops: a set of its own takes 216 bytes."""

_WORDS = re.compile(r"\d{1,17} \d{1,3} \d{1,3}", re.ASCII)


@dataclass(slots=True)
class Trouble:
    """A job's trouble, ``since`` its first call that went wrong (0: none has, the job was only throttled).

    It travels with the job from worker to worker, as a header of its message.
    """

    since: int = 0
    refusals: int = 0
    token_taken: int = 0
    throttles: int = 0
    throttled_at: int = 0

    @property
    def words(self) -> str:
        """The header's text for the next worker: see :meth:`read`."""
        # No more digits than `read` accepts: its pattern bounds what a forged header can make a worker compute with.
        return f"{self.since} {min(self.refusals, 999)} {min(self.token_taken, 999)}"

    def moved(self, microseconds: int) -> "Trouble":
        """The same trouble by a clock that is so far ahead."""
        return replace(self, since=self.since + microseconds if self.since else 0)

    @classmethod
    def read(cls, words: object, now: int) -> "Trouble | None":
        """What another worker wrote; None where it wrote nothing, or too long ago."""
        if not isinstance(words, str) or not _WORDS.fullmatch(words):
            return None
        since, refusals, token_taken = map(int, words.split())
        return cls(since, refusals, token_taken) if max(0, now - FORGOTTEN_AFTER) < since <= now else None


class Subject(Protocol):
    """A job whose calls are watched. ``trouble`` is None for one that has none."""

    trouble: Trouble | None

    @property
    def job_id(self) -> str: ...


class Others:
    """How the jobs of one shop fare, as far as one process has seen.

    A job's trouble is its own once others have been answered well since it began, unless everybody is in trouble.
    """

    def __init__(self) -> None:
        self._served_at = 0
        self._alike = NOBODY

    @property
    def in_trouble(self) -> bool:
        """Whether some job's call has gone wrong since the shop's last good answer."""
        return bool(self._alike)

    @property
    def everybody(self) -> bool:
        """Whether so many jobs are in trouble that it is the shop's."""
        return len(self._alike) >= EVERYBODY

    def served(self, job: Subject, now: int) -> None:
        """The job was answered well."""
        job.trouble = None
        self._served_at = now
        self._alike = NOBODY

    def is_own(self, job: Subject) -> bool:
        """Whether the job's trouble is its own."""
        return job.trouble is not None and 0 < job.trouble.since < self._served_at and not self.everybody

    def failed(self, job: Subject, now: int) -> bool:
        """The job's call failed; whether that is its own trouble."""
        self._meet(job, now)
        return self.is_own(job)

    def refused(self, job: Subject, now: int, *, token_taken: bool) -> bool:
        """The job's call was refused; whether that is its own trouble.

        ``token_taken``: Status2 had accepted the shop's token just before.
        """
        trouble = self._meet(job, now)
        trouble.refusals += 1
        trouble.token_taken += token_taken
        return self.is_own(job)

    def throttled(self, job: Subject, now: int) -> None:
        """The job's call was answered 429, which is no trouble unless it goes on."""
        trouble = job.trouble = job.trouble or Trouble()
        if not trouble.throttles or self._served_at > trouble.throttled_at:
            trouble.throttles += 1
        trouble.throttled_at = now

    def ends_if_refused(self, job: Subject) -> bool:
        """Whether one more refusal would prove that it is about this job alone."""
        trouble = job.trouble
        if trouble is None or self.everybody:
            return False
        if self._served_at > trouble.since:
            return trouble.refusals >= REFUSALS - 1
        # No other job was answered since: there was none, or everybody is refused. At a shop that has never answered
        # well, two jobs are everybody.
        alone = len(self._alike | {job.job_id}) < (EVERYBODY if self._served_at else 2)
        return alone and trouble.token_taken >= TOKEN_TAKEN

    def waits_alone(self, job: Subject) -> bool:
        """Whether a 429 to this job is to hold back its customer and not its shop."""
        trouble = job.trouble
        return trouble is not None and trouble.throttles >= THROTTLES and self._served_at > trouble.throttled_at

    def _meet(self, job: Subject, now: int) -> Trouble:
        trouble = job.trouble = job.trouble or Trouble()
        trouble.since = trouble.since or now
        # Only jobs in trouble since the last good answer count, and no more of them than it takes to decide.
        if self._served_at <= trouble.since and not self.everybody:
            self._alike |= {job.job_id}
        return trouble
