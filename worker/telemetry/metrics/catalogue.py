"""A catalogue that fills itself as metrics are made; docs/metrics.md, dashboards and alerts are tested against it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from worker.telemetry.metrics.shared_value import share_simply

Kind = Literal["counter", "gauge", "histogram"]
Merge = Literal["sum", "min", "max", "latest"]

_MODES: dict[Merge, Literal["livesum", "livemin", "livemax", "livemostrecent"]] = {
    "sum": "livesum",
    "min": "livemin",
    "max": "livemax",
    "latest": "livemostrecent",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One metric as Prometheus shows it. ``merge`` says how the values of a pod's processes become one."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...]
    merge: Merge


class Catalogue:
    """Makes metrics in a registry and remembers them.

    A process that has ended leaves its counts, so that sums never fall, and none of its gauges.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        share_simply()
        self._registry = registry
        self.entries: list[Entry] = []

    def counter(self, name: str, text: str, *labels: str) -> Counter:
        """A counter, whose name ends in ``_total``."""
        self.entries.append(Entry(name, "counter", text, labels, "sum"))
        return Counter(name, text, labels, registry=self._registry)

    def gauge(self, name: str, text: str, *labels: str, merge: Merge) -> Gauge:
        """A gauge, which is merged only from processes that live."""
        self.entries.append(Entry(name, "gauge", text, labels, merge))
        return Gauge(name, text, labels, registry=self._registry, multiprocess_mode=_MODES[merge])

    def histogram(self, name: str, text: str, *labels: str, buckets: Sequence[float]) -> Histogram:
        """A histogram; ``buckets`` are upper bounds in seconds."""
        self.entries.append(Entry(name, "histogram", text, labels, "sum"))
        return Histogram(name, text, labels, registry=self._registry, buckets=buckets)
