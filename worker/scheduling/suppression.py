"""Closes the gate while the lists of suppressed addresses can't be relied on: nobody is called who has opted out.

Runs on the consumer's thread. A store that has lost a list says nothing of it. Two others remember how many changes the
lists have had: this process, of what it has heard, and RabbitMQ, whose journal has each change as a message. A process
asks for the length of the journal whenever it connects, once a minute, and when the store may have lost what it had:
after each new connection to it, and when its data are gone. It may not have heard of the latest changes by then, and
the store may have fewer than it had, so nobody is called until both have answered anew.
"""

import os
import socket
from typing import Any, Literal

import structlog

from worker.model.suppression import UNUSABLE, Suppression, Unusable
from worker.scheduling.gate import Gate
from worker.store.protocol import ShopStateStore

log = structlog.get_logger(__name__)


class SuppressionGuard:
    """Compares what the store has with what is known. ``address_key`` is the fingerprint of the process's key."""

    def __init__(self, gate: Gate[Any], store: ShopStateStore, address_key: bytes) -> None:
        self.problem: Unusable | Literal["unknown"] | None = "unknown"
        """Why nobody is called, None: the lists can be relied on. Unknown until the store has answered, and after each
        doubt until it has answered again and the journal's length is known."""
        self.doubted: int | None = None
        """The store's generation of which the journal's length is to be asked for; None for none."""
        self._gate = gate
        self._store = store
        self._address_key = address_key
        self._process = f"{socket.gethostname()}:{os.getpid()}"
        self._known = 0
        self._heard: Suppression | None = None
        self._heard_of = 0
        self._generation = 0
        self._told = False

    @property
    def lacks_key(self) -> bool:
        """Whether nobody is called until the process is started again: other workers are to have its jobs."""
        return self.problem in {"no_key", "other_key"}

    def follow(self, generation: int) -> bool:
        """The store is of this generation; whether it is another one than the last time.

        From then on nobody is called until the journal's length and the store's lists have been asked for.
        """
        if generation == self._generation:
            return False
        self._generation = self.doubted = generation
        self.problem = self.problem or "unknown"
        self._gate.close_all("suppression")
        return True

    def journal_has(self, changes: int, generation: int | None = None) -> None:
        """So many changes are in RabbitMQ's journal. ``generation``: it was asked when that one was in doubt."""
        self._known = max(self._known, changes)
        if generation == self.doubted:
            self.doubted = None
        self._decide()

    def store_has(self, suppression: Suppression, generation: int) -> None:
        """This is what the store has; it was asked when it was of this generation."""
        self._heard = suppression
        self._heard_of = generation
        self._known = max(self._known, suppression.number)
        self._decide()

    def tell(self) -> None:
        """Once a second: leave word in the store while nobody is called, for `referrals status`."""
        if self.problem is not None and self.problem != "unknown":
            self._store.note_closed(self._process, self.problem)

    def _decide(self) -> None:
        if self._heard is None:
            return
        before, self.problem = self.problem, self._found(self._heard)
        if self.problem == before:
            return
        if self.problem is None:
            self._gate.open_all("suppression")
            if self._told:
                log.info("suppression_usable")
            self._told = False
        elif self.problem != "unknown":
            self._gate.close_all("suppression")
            changes = {"changes": self._heard.number, "known": self._known}
            log.error("suppression_unusable", reason=self.problem, problem=UNUSABLE[self.problem], **changes)
            self._told = True

    def _found(self, heard: Suppression) -> Unusable | Literal["unknown"] | None:
        if self.problem is not None and self._heard_of != self._generation:
            # What was heard before the doubt tells nothing of what the store has now.
            return self.problem
        problem = heard.unusable(self._address_key, self._known)
        return "unknown" if problem is None and self.doubted is not None else problem
