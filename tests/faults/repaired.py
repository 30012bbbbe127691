"""Faults that are repaired at once: each returns when every worker is ready again."""

from tests.faults import store_faults
from tests.faults.site import PATIENCE, Site
from tests.services import wait_until


def worker_killed(site: Site) -> None:
    """SIGKILL to a worker, and another in its place."""
    site.workers[0].kill()
    site.revive()
    wait_until(lambda: all(worker.ready() for worker in site.workers), PATIENCE, "the next worker")


def store_killed(site: Site) -> None:
    """SIGKILL to the store, and a start with what was on disk."""
    heal = store_faults.killed(site)
    heal()
    wait_until(lambda: all(worker.ready() for worker in site.workers), PATIENCE, "the store to be back")
