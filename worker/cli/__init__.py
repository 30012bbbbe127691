"""The command ``referrals``."""

import sys


def main() -> None:
    """Run a command and end the process with its exit code."""
    try:
        # Imported only now: this is most of the start, and Ctrl-C during the start is no fault to trace.
        from worker.cli.main import main as run

        run()
    except KeyboardInterrupt:
        sys.exit(130)
