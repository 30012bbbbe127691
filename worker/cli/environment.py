"""What a command for a person takes from its environment."""

from worker import logs, settings
from worker.settings import Settings


def load() -> Settings:
    """The settings, with logs as a command for a person writes them."""
    loaded = settings.load()
    logs.configure("WARNING" if loaded.log_level == "INFO" else loaded.log_level, "console")
    return loaded
