"""Makes a lane that a publisher needs first, so that its jobs have a queue and every worker consumes it."""

from collections.abc import Collection
from concurrent.futures import Future

from worker.errors import StoreError
from worker.model.lanes import ShopLane
from worker.rabbitmq.connection import Parameters, connect
from worker.rabbitmq.declare import declare_topology
from worker.rabbitmq.topology import shop_queue_declaration
from worker.store.controls import ControlsReader


def make_lanes(params: Parameters, lanes: Collection[ShopLane], store: ControlsReader | None) -> list[str]:
    """Declare the lanes' queues and have the store list them; returns how existing queues differ from ours. Blocks.

    Without a store nobody is told, so the workers' shops file must have each of these shops as ``urgent``.

    Raises:
      BrokerError, ConfigurationError: as `connect` and `declare_topology` say.
      StoreError: the store doesn't list them, so jobs must not go there.
    """
    connection = connect(params)
    try:
        differences = declare_topology(connection, [shop_queue_declaration(*of) for of in lanes])
    finally:
        if connection.is_open:
            connection.close()
    if store is not None:
        listed: Future[StoreError | None] = Future()
        store.add_lanes(lanes, done=listed.set_result)
        problem = listed.result()
        if problem is not None:
            raise problem
    return differences
