"""A RabbitMQ for one row after the other, which a row may have left broken."""

from collections.abc import Callable

from tests.services import RabbitMQ, ServiceError


class Nodes:
    """Hands out the node that is there for as long as it is well, and a fresh one from ``fresh`` after that."""

    def __init__(self, fresh: Callable[[int], RabbitMQ], first: RabbitMQ | None = None) -> None:
        self._fresh = fresh
        self._node = first
        self._own: list[RabbitMQ] = []

    def get(self) -> RabbitMQ:
        """A node that answers and has no alarm. Blocks for as long as one takes to start."""
        if self._node is None or not _is_well(self._node):
            node = self._fresh(len(self._own))
            self._own.append(node)
            self._node = node.create()
        return self._node

    def close(self) -> None:
        """Stop those that were started here."""
        for node in self._own:
            node.stop()


def _is_well(node: RabbitMQ) -> bool:
    try:
        node.api("GET", "/api/health/checks/alarms")
    except (ServiceError, OSError):
        return False
    return node.running()
