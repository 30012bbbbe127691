"""Settings and logging of the commands that people run."""

import structlog

from worker import settings
from worker.settings import Settings
from worker.telemetry import logs

log = structlog.get_logger(__name__)


def load() -> Settings:
    """The settings of the environment; from then on logs are written as lines for a person.

    Raises:
      ConfigurationError: as :func:`worker.settings.load`.
    """
    loaded = settings.load()
    # A person reads the command's own lines; INFO is for workers. A level that is asked for holds.
    logs.configure("WARNING" if loaded.log_level == "INFO" else loaded.log_level, "console")
    for name, host in loaded.exposed_hosts():
        log.warning("plaintext_allowed", setting=name, host=host)
    return loaded
