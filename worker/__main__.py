"""``python -m worker`` is the command ``referrals``."""

from worker.cli import main

main()
