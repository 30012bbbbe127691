"""What a consumer works with: the parts that the wiring hands to it."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from worker.clock import Clock
from worker.model.suppression import AddressKey
from worker.model.verdicts import Verdict
from worker.shops.config import ShopConfig
from worker.shops.registry import ShopRegistry
from worker.store.protocol import Store
from worker.telemetry.metrics.process import Metrics
from worker.telemetry.tracing import Tracing


@dataclass(slots=True)
class Context:
    """Built by the wiring (:mod:`worker.app`). ``longest_call`` is in microseconds.

    ``status`` asks Refer2 whether it accepts a shop's token (None: it does); without it only jobs probe a halted shop.
    ``marks`` is the folder of :mod:`worker.rabbitmq.crash_marks`; without it nobody counts processes that ended while
    they were reading a message. ``threads`` is set when Dramatiq's worker boots, before the first consumer is made.
    ``shuffle`` gives the gate an order of shops of its own, where several processes share them. ``address_key`` hashes
    the addresses that are looked up among those suppressed.
    """

    store: Store
    shops: ShopRegistry
    clock: Clock
    metrics: Metrics
    threads: int
    prefetch: int
    longest_call: int
    marks: Path | None = None
    shuffle: Random | None = None
    status: Callable[[ShopConfig], Verdict | None] | None = None
    address_key: AddressKey | None = None
    tracing: Tracing | None = None
    stopping: threading.Event = field(default_factory=threading.Event)
