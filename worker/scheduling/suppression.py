"""Closes the gate while the lists of suppressed addresses can't be relied on: nobody is called who has opted out.

Runs on the consumer's thread. A store that has lost a list says nothing of it. Two others remember how many changes the
lists have had: this process, of what it has heard, and RabbitMQ, whose journal has each change as a message. A process
asks for the length of the journal whenever it connects, once a minute, and when the store has lost what it had.
"""

from typing import Any

import structlog

from worker.model.suppression import NO_KEY, Suppression
from worker.scheduling.gate import Gate

log = structlog.get_logger(__name__)


class SuppressionGuard:
    """Compares what the store has with what is known. ``address_key`` is the fingerprint of the process's key."""

    def __init__(self, gate: Gate[Any], address_key: bytes) -> None:
        self._gate = gate
        self._address_key = address_key
        self._known = 0
        self._heard: Suppression | None = None
        self._problem: str | None = None

    def journal_has(self, changes: int) -> None:
        """So many changes are in RabbitMQ's journal."""
        self._known = max(self._known, changes)
        self._decide()

    def store_has(self, suppression: Suppression) -> None:
        """This is what the store has."""
        self._heard = suppression
        self._known = max(self._known, suppression.number)
        self._decide()

    def _decide(self) -> None:
        problem = self._found()
        if problem == self._problem:
            return
        self._problem = problem
        if problem is None:
            log.info("suppression_usable")
            self._gate.open_all("suppression")
        else:
            log.error("suppression_unusable", problem=problem)
            self._gate.close_all("suppression")

    def _found(self) -> str | None:
        heard = self._heard
        if heard is None:
            # No call starts before the store has answered for the first time.
            return None
        if heard.number < self._known:
            return (
                f"the store has {heard.number} of {self._known} changes of the suppression lists; "
                "`referrals suppress restore` brings the others back"
            )
        if heard.key not in {NO_KEY, self._address_key}:
            if self._address_key == NO_KEY:
                return "REFERRALS_SUPPRESSION_KEY is unset; set it to the key of the store's suppression lists"
            return "REFERRALS_SUPPRESSION_KEY is not the key by which the store's suppression lists are hashed"
        return None
