"""The command ``referrals``."""

from worker.cli.main import main

__all__ = ["main"]
