"""The metrics: what there is (:mod:`.process`), and how many series it can make (:mod:`.labels`).

``prometheus_client`` decides on import whether values live in this process or in files that several share, so a
process that is one of many sets ``PROMETHEUS_MULTIPROC_DIR`` before this package is imported.
"""

from worker.telemetry.metrics.labels import OTHER_SHOPS, RESPONSE_CODES
from worker.telemetry.metrics.process import Metrics, ShopView

__all__ = ["OTHER_SHOPS", "RESPONSE_CODES", "Metrics", "ShopView"]
