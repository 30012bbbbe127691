"""What a command for a person takes from its environment."""

import structlog

from worker import settings
from worker.settings import Settings
from worker.telemetry import logs

log = structlog.get_logger(__name__)


def load() -> Settings:
    """The settings, with logs as a command for a person writes them."""
    loaded = settings.load()
    logs.configure("WARNING" if loaded.log_level == "INFO" else loaded.log_level, "console")
    for name, host in loaded.exposed_hosts():
        log.warning("plaintext_allowed", setting=name, host=host)
    return loaded
