"""Closes the gate while the lists of suppressed addresses can't be relied on: nobody is called who has opted out.

Runs on the consumer's thread. A store that has lost a list says nothing of it. Two others remember how many changes the
lists have had: this process, of what it has heard, and RabbitMQ, whose journal has each change as a message. A process
asks for the length of the journal whenever it connects, once a minute, and when the store has lost what it had.
"""

import os
import socket
from typing import Any, Literal

import structlog

from worker.model.suppression import NO_KEY, UNFINISHED, UNUSABLE, Suppression, Unusable
from worker.scheduling.gate import Gate
from worker.store.protocol import ShopStateStore

log = structlog.get_logger(__name__)


class SuppressionGuard:
    """Compares what the store has with what is known. ``address_key`` is the fingerprint of the process's key."""

    def __init__(self, gate: Gate[Any], store: ShopStateStore, address_key: bytes) -> None:
        self.problem: Unusable | Literal["unknown"] | None = "unknown"
        """Why nobody is called, None: the lists can be relied on. Unknown until the store has answered, and until then
        no call starts anyway."""
        self._gate = gate
        self._store = store
        self._address_key = address_key
        self._process = f"{socket.gethostname()}:{os.getpid()}"
        self._known = 0
        self._heard: Suppression | None = None

    @property
    def lacks_key(self) -> bool:
        """Whether nobody is called until the process is started again: other workers are to have its jobs."""
        return self.problem in {"no_key", "other_key"}

    def journal_has(self, changes: int) -> None:
        """So many changes are in RabbitMQ's journal."""
        self._known = max(self._known, changes)
        self._decide()

    def store_has(self, suppression: Suppression) -> None:
        """This is what the store has."""
        self._heard = suppression
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
        if self.problem is not None:
            changes = {"changes": self._heard.number, "known": self._known}
            log.error("suppression_unusable", reason=self.problem, problem=UNUSABLE[self.problem], **changes)
            self._gate.close_all("suppression")
        elif before != "unknown":
            log.info("suppression_usable")
            self._gate.open_all("suppression")

    def _found(self, heard: Suppression) -> Unusable | None:
        if heard.number < self._known:
            return "lost"
        if heard.key in {NO_KEY, self._address_key}:
            return None
        if heard.key == UNFINISHED:
            return "unfinished"
        return "no_key" if self._address_key == NO_KEY else "other_key"
