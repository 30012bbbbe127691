"""What surrounds a consumer."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from worker.clock import Clock
from worker.model.verdicts import Verdict
from worker.shops.config import ShopConfig
from worker.shops.registry import ShopRegistry
from worker.store.protocol import Store
from worker.telemetry.metrics.process import Metrics


@dataclass(slots=True)
class Context:
    """What a consumer works with, built by the wiring. ``longest_call`` is in microseconds.

    ``status`` asks whether a shop's token is taken (None: it is); without it only jobs probe a halted shop.
    ``marks`` is the folder of :mod:`worker.rabbitmq.crash_marks`; without it no death over a message is known of.
    ``threads`` is set once Dramatiq tells it, before the first consumer is made.
    """

    store: Store
    shops: ShopRegistry
    clock: Clock
    metrics: Metrics
    threads: int
    prefetch: int
    longest_call: int
    marks: Path | None = None
    status: Callable[[ShopConfig], Verdict | None] | None = None
    stopping: threading.Event = field(default_factory=threading.Event)
