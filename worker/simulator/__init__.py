"""Many worker processes on virtual time: the real gate, limits and memory store, without a broker, threads or calls.

For property tests, and for planning beyond what one machine can show.
"""

from worker.simulator.fleet import Fleet, Load, Scenario
from worker.simulator.report import Report, ShopReport

__all__ = ["Fleet", "Load", "Report", "Scenario", "ShopReport"]
