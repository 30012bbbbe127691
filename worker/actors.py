"""The entry point of the dramatiq command: ``dramatiq worker.actors --processes 1``, which `referrals work` runs.

The one module that reads the environment and builds things on import, because that is all that Dramatiq's worker
processes do with it.
"""

import sys

import dramatiq

from worker import settings
from worker.errors import ConfigurationError
from worker.telemetry import logs, metrics_folder


def _build() -> dramatiq.Broker:
    try:
        loaded = settings.load()
        logs.configure(loaded.log_level, loaded.log_format)
        metrics_folder.shared_metrics_of_parent()
        # Imported only now, since it imports prometheus_client: see worker.telemetry.metrics.
        from worker.app import build_worker

        return build_worker(loaded).broker
    except ConfigurationError as error:
        print(error, file=sys.stderr, flush=True)  # noqa: T201 - for the person who started it, before any log
        sys.exit(error.exit_code)


broker = _build()
dramatiq.set_broker(broker)
