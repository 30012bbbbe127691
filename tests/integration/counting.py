"""A stand-in for a worker process: it counts, serves the shared values, and then does what its standard input says.

As `referrals work` does it, the folder of the values is named before anything imports prometheus_client.
"""

import sys

from worker.clock import SystemClock
from worker.instants import SECOND
from worker.telemetry import logs
from worker.telemetry.health import MetricsServer


def main(port: int, jobs: int) -> None:
    """Count ``jobs`` results, then obey: ``hang`` stops the pump's beat, ``stuck`` a thread, end of input ends it."""
    from prometheus_client import CollectorRegistry

    from worker.telemetry.metrics.process import READY_PARTS, Metrics

    logs.configure("WARNING", "json")
    clock = SystemClock()
    metrics = Metrics(CollectorRegistry())
    metrics.declare_shops({"acme": 25})
    for part in READY_PARTS:
        metrics.show_ready(part, None)
    with metrics.calling("acme"):
        for _ in range(jobs):
            metrics.finished("acme", "sent")
        MetricsServer("127.0.0.1", port, clock).start()
        metrics.pump_beat.set(clock.now() / SECOND)
        print("counted", flush=True)
        for line in sys.stdin:
            match line.split():
                case ["hang"]:
                    metrics.pump_beat.set(clock.now() / SECOND - 600)
                case ["stuck"]:
                    metrics.stuck_threads.set(1)
                case ["lost", part]:
                    metrics.show_ready(part, "read_only")
                case ["found", part]:
                    metrics.show_ready(part, None)
                case _:
                    return
            print("done", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
