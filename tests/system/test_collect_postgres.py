"""`referrals collect --postgres`: one row per job whatever is killed, and no password anywhere."""

import json
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.rabbitmq.tap import tapping
from tests.services import PostgreSQL, RabbitMQ, Vhost, wait_until
from tests.system.collecting import assert_one_row_a_job
from tests.system.commands import Desk
from tests.system.test_collect import KEY, RESULTS, declare, publish, result

JOBS = 3_000
FAULTS = 4


@pytest.fixture
def database(tmp_path: Path) -> Iterator[PostgreSQL]:
    """A server of the test's own, which it may kill; whatever it has committed is on disk."""
    with PostgreSQL(tmp_path / "postgresql", max_connections="20") as server:
        yield server


def test_killed_at_random(desk: Desk, rabbitmq: RabbitMQ, vhost: Vhost, database: PostgreSQL) -> None:
    """Three collectors and their database are killed while results arrive, some twice: exactly one row per job."""
    assert_one_row_a_job(desk, rabbitmq, vhost, database, JOBS, faults=FAULTS, seed=random.randrange(10**6))


def test_results_are_those_of_a_file(desk: Desk, rabbitmq: RabbitMQ, vhost: Vhost, postgres_url: str) -> None:
    """The summary counts as it does for a file, what is no result goes to the dead queue, and nothing waits."""
    declare(desk)
    with tapping(vhost) as tap:
        publish(tap, range(20))
        for body in (result(3), b"{}", result(4)):
            tap.channel.basic_publish("referrals.results", KEY, body)
    done = desk.run("collect", "--until-idle", "0.5", "--json", REFERRALS_POSTGRES_URL=postgres_url)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    place = told.pop("results")
    assert place == "postgresql://" + postgres_url.split("@")[1]
    assert told == {
        "outcomes": {"sent": 20},
        "codes": {},
        "repeated": 2,
        "superseding": 0,
        "unreadable": 1,
        "sandbox": 0,
    }
    wait_until(lambda: rabbitmq.depths(vhost).get(RESULTS) == 0, 10, "an empty queue")
    wait_until(lambda: rabbitmq.depths(vhost).get("referrals.dead") == 1, 10, "what is no result")


def test_the_database_goes_and_comes_back(desk: Desk, rabbitmq: RabbitMQ, vhost: Vhost, database: PostgreSQL) -> None:
    """Meanwhile results wait in RabbitMQ; it is said once, and SIGTERM ends the command even then."""
    url = database.add_database()
    collecting = desk.start("collect", REFERRALS_POSTGRES_URL=url)
    wait_until(lambda: rabbitmq.depths(vhost).get(RESULTS) == 0, 20, "the queue")
    database.kill()
    with tapping(vhost) as tap:
        publish(tap, range(300))
        wait_until(lambda: "database_disconnected" in collecting.stderr, 20, "the line that says so")
        wait_until(lambda: tap.depth(RESULTS) == 300, 10, "the results to be given back")
    database.start()
    count = "SELECT count(*) FROM referrals.results"
    wait_until(lambda: database.sql(count, url) == "300", 40, "the rows")
    wait_until(lambda: "collector_goes_on" in collecting.stderr, 10, "the line that says so")
    assert collecting.stderr.count("database_disconnected") == 1
    database.kill()
    with tapping(vhost) as tap:
        publish(tap, range(300, 310))
        wait_until(lambda: collecting.stderr.count("database_disconnected") == 2, 20, "the second line")
        collecting.signal(signal.SIGTERM)
        assert collecting.wait() == 0
        assert tap.depth(RESULTS) == 10
    assert "results are in  PostgreSQL at 127.0.0.1:" in collecting.stdout


def test_no_password_is_shown(desk: Desk, postgres_url: str, tmp_path: Path) -> None:
    """Neither on the command line, where it is refused, nor in an error; a password file of libpq's will do."""
    refused = desk.run("collect", "--postgres", postgres_url, "--until-idle", "0.2")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "can read a password on a command line; put the URL into REFERRALS_POSTGRES_URL" in refused.stderr
    wrong = postgres_url.replace("guest", "anotherpassword")
    failed = desk.run("collect", "--until-idle", "0.2", REFERRALS_POSTGRES_URL=wrong)
    assert failed.returncode == 1
    assert "refuses the user or the password" in failed.stderr
    assert failed.stderr.count("\n") == 1
    assert "anotherpassword" not in failed.stderr
    (tmp_path / "pgpass").write_text("*:*:*:*:guest\n")
    (tmp_path / "pgpass").chmod(0o600)
    without = postgres_url.replace(":guest@", "@")
    options = ("--postgres", without, "--until-idle", "0.2")
    done = desk.run("collect", *options, PGPASSFILE=str(tmp_path / "pgpass"))
    assert done.returncode == 0, done.stderr


def test_one_destination(desk: Desk, postgres_url: str) -> None:
    """A file and a database are refused together, and so is neither; without the extra its name is told."""
    both = desk.run("collect", "--out", "a.csv", "--postgres", "postgresql://localhost/x")
    assert (both.returncode, "leave out the other" in both.stderr) == (2, True)
    neither = desk.run("collect")
    assert (neither.returncode, "give --out FILE or --postgres URL" in neither.stderr) == (2, True)
    (desk.folder / "psycopg.py").write_text("raise ImportError\n")
    # Not forked as the others are: a process that has imported psycopg has it whatever lies on the path.
    lacking = subprocess.run(
        [sys.executable, "-m", "worker", "collect"],
        cwd=desk.folder,
        env=desk.env | {"REFERRALS_POSTGRES_URL": postgres_url, "PYTHONPATH": str(desk.folder)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert lacking.returncode == 2
    assert "pip install 'psycopg[binary]'" in lacking.stderr
