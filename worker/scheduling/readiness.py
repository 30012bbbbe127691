"""Whether this process can work, as its readiness probe shows it: RabbitMQ, the store, the shops file, and the lists of
suppressed addresses.

Runs on the consumer's thread.
"""

import structlog

from worker.errors import DamagedOrdersError, StoreError
from worker.instants import SECOND
from worker.scheduling.context import Context
from worker.scheduling.delivery import D
from worker.scheduling.gate import Gate
from worker.scheduling.port import Port
from worker.scheduling.suppression import SuppressionGuard

STORE_PAUSE = SECOND
"""How long nothing is asked of a store that was out of reach."""

log = structlog.get_logger(__name__)


class Readiness:
    """Closes the gate while the store is out of reach: no call starts that the ledger does not know (fail closed)."""

    def __init__(self, context: Context, gate: Gate[D], suppression: SuppressionGuard, port: Port[D]) -> None:
        self._context = context
        self._gate = gate
        self._suppression = suppression
        self._port = port
        self._store_down: str | None = None
        self._damaged = False

    def store_failed(self, error: StoreError, now: int) -> None:
        """The store did not answer: nothing is asked of it for a second. The caller returns the jobs it asked for."""
        if error.reason != self._store_down:
            # Again when the reason is another one: the store was loading, and is a replica now.
            log.error("store_down", reason=error.reason, problem=str(error))
        self._store_down = error.reason
        self._gate.close_all("store_down", now + STORE_PAUSE)
        self.show()

    def store_answered(self) -> None:
        """The store has answered: the gate opens if that closed it."""
        if self._store_down:
            log.info("store_up")
            self._gate.open_all("store_down")
        self._store_down = None

    def orders_damaged(self, error: DamagedOrdersError | None) -> None:
        """The orders in the store can't be read, None: they can. The process goes on by those that it read last, and
        shows itself unready, since it hears of no order.
        """
        if bool(error) == self._damaged:
            return
        self._damaged = error is not None
        if error is not None:
            log.error("orders_damaged", problem=str(error))
        else:
            log.info("orders_readable")
        self.show()

    def show(self) -> None:
        """Show each part as ready, or why it is not."""
        show = self._context.metrics.show_ready
        show("rabbitmq", self._port.disconnected)
        show("store", self._store_down or ("damaged" if self._damaged else None))
        show("shops_file", None if self._context.shops.problem is None else "unusable")
        show("suppression", self._suppression.problem)
