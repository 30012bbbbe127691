"""Collectors and their database break while results arrive: each job has its one row."""

import json
import random
import time
from pathlib import Path

import pytest

from tests.services import PostgreSQL, RabbitMQ, Vhost
from tests.system.collecting import Trouble, assert_one_row_a_job
from tests.system.commands import Desk

JOBS = 20_000


def test_collectors_and_database_killed(
    request: pytest.FixtureRequest, tmp_path: Path, rabbitmq: RabbitMQ, vhost: Vhost, full: bool
) -> None:
    """Three collectors and PostgreSQL are killed at random while results of 20,000 jobs arrive: one row each."""
    seed = int(request.config.getoption("--seed") or random.randrange(10**6))
    print(f"seed {seed}")
    desk = Desk.of(tmp_path, vhost.url)
    began = time.monotonic()
    trouble: Trouble | None = None
    try:
        with PostgreSQL(tmp_path / "postgresql", max_connections="20") as database:
            faults = 30 if full else 10
            trouble = assert_one_row_a_job(desk, rabbitmq, vhost, database, JOBS, faults=faults, seed=seed)
    finally:
        desk.close()
        path: Path | None = request.config.getoption("--rows-to")
        if path is not None:
            line = {
                "row": "collectors_and_database_killed",
                "passed": trouble is not None,
                "seconds": round(time.monotonic() - began, 1),
                "jobs": JOBS,
                "faults": sum(trouble.faults.values()) if trouble is not None else 0,
                **dict.fromkeys(("lost", "unexpected", "repeats", "recovered", "unknown", "dead"), 0),
            }
            with path.open("a") as file:
                file.write(json.dumps(line) + "\n")
