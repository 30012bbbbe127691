"""The private services themselves: isolated, found again, ended without a trace."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pika
import psutil
import pytest

from tests.services import (
    PostgreSQL,
    RabbitMQ,
    ServiceError,
    Valkey,
    Vhost,
    attach,
    open_rabbitmq,
    stop_all,
    wait_until,
)
from tests.services.process import end, find, lives, spawn

REPOSITORY = Path(__file__).parents[2]


def services(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run ``scripts/services`` as a developer does."""
    command = [str(REPOSITORY / "scripts" / "services"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | environment)


def processes_of(folder: Path) -> set[int]:
    """Pids of the living processes that have ``folder`` in their environment or on their command line."""
    pids = set()
    for process in psutil.process_iter():
        try:
            told = [*process.cmdline(), *process.environ().values()]
            if process.status() != psutil.STATUS_ZOMBIE and any(str(folder) in text for text in told):
                pids.add(process.pid)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return pids


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder for services, which are ended even where the test fails."""
    yield tmp_path / "services"
    stop_all(tmp_path)


def test_up_and_down_leave_no_process_behind(folder: Path) -> None:
    """`up` starts all once and prints where they are, `ctl` and `psql` speak to the servers, `down` ends every process.

    To somebody who wants another RabbitMQ it doesn't pass off the one that runs.
    """
    first, again = services("--dir", folder, "up"), services("--dir", folder, "up")
    assert first.returncode == 0, first.stderr
    assert again.stdout == first.stdout
    other = services("--dir", folder, "up", RABBITMQ_SBIN="/of/another/version")
    assert (other.returncode, "another RabbitMQ runs in" in other.stderr) == (1, True)
    urls = dict(line.removeprefix("export ").split("=", 1) for line in first.stdout.splitlines() if "=" in line)
    amqp_url = urls["REFERRALS_AMQP_URL"].strip("'")
    with pika.BlockingConnection(pika.URLParameters(amqp_url)) as connection:
        connection.channel().queue_declare("seen", arguments={"x-queue-type": "quorum"}, durable=True)
    assert "seen" in services("--dir", folder, "ctl", "list_queues", "name").stdout
    assert urls["REFERRALS_REDIS_URL"].startswith("'redis://127.0.0.1:")
    assert urls["REFERRALS_POSTGRES_URL"].startswith("'postgresql://")
    assert services("--dir", folder, "psql", "--tuples-only", "--command=SELECT 6 * 7").stdout.strip() == "42"
    assert len(processes_of(folder)) >= 4

    assert services("--dir", folder, "down").returncode == 0

    assert processes_of(folder) == set()
    assert services("--dir", folder, "urls").returncode == 1


def test_down_on_nothing_is_fine(folder: Path) -> None:
    """`down` twice, or where nothing was ever started, succeeds."""
    assert services("--dir", folder, "down").stdout.startswith("stopped 0 services")
    assert services("--dir", folder, "down").returncode == 0


def test_what_is_down_is_named(folder: Path) -> None:
    """With what runs, which `up` would lose, for it starts all anew."""
    told = r"RabbitMQ, PostgreSQL; running: Valkey; .* starts all anew, and what they hold is lost by it"
    with Valkey(folder / "valkey"), pytest.raises(ServiceError, match=told):
        attach(folder)
    with pytest.raises(ServiceError, match="none of RabbitMQ, Valkey, PostgreSQL runs"):
        attach(folder)
    with Valkey(folder / "valkey"):
        assert services("--dir", folder, "down").stdout == f"stopped 1 service of {folder}\n"


def test_down_ends_what_an_interrupted_up_started(folder: Path) -> None:
    """An `up` that is killed halfway leaves records by which `down` ends its processes."""
    command = [sys.executable, "-m", "tests.services", "--dir", str(folder), "up"]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as starting:
        wait_until((folder / "rabbitmq" / "rabbitmq.pid").exists, 30, "RabbitMQ's process")
        starting.kill()
    assert processes_of(folder) != set()

    assert services("--dir", folder, "down").returncode == 0

    assert processes_of(folder) == set()


def test_a_stopped_up_leaves_nothing(folder: Path) -> None:
    """An `up` that is told to stop ends what it had started."""
    command = [sys.executable, "-m", "tests.services", "--dir", str(folder), "up"]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as starting:
        wait_until((folder / "rabbitmq" / "rabbitmq.pid").exists, 30, "RabbitMQ's process")
        starting.terminate()
    assert starting.returncode == 1
    assert processes_of(folder) == set()


def test_a_reused_pid_is_left_alone(folder: Path) -> None:
    """A pid file whose pid belongs to another process by now ends nobody."""
    with Valkey(folder / "valkey") as valkey, subprocess.Popen(["sleep", "60"]) as stranger:
        record = valkey.folder / "valkey.pid"
        kept = record.read_text()
        record.write_text(f'{{"pid": {stranger.pid}, "started": 1.0}}')
        claimed, stopped, ended = valkey.running(), stop_all(folder), stranger.poll()
        record.write_text(kept)
        stranger.kill()
    assert (claimed, stopped, ended) == (False, 0, None)


def test_a_process_is_found_after_the_clock_was_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the time of day all that runs seems to have started at another time since."""
    pid_file, moved = tmp_path / "sleep.pid", tmp_path / "proc"
    spawn(["/bin/sleep", "60"], pid_file=pid_file, log=tmp_path / "log", env=os.environ)
    before = find(pid_file)
    moved.mkdir()
    for entry in Path("/proc").iterdir():
        if entry.name != "stat":
            (moved / entry.name).symlink_to(entry)
    booted = int(psutil.boot_time())
    (moved / "stat").write_text(f"btime {booted + 11}\n")
    monkeypatch.setattr(psutil, "PROCFS_PATH", str(moved))
    assert psutil.boot_time() == booted + 11
    after = find(pid_file)
    monkeypatch.undo()
    end(pid_file, signal.SIGKILL, 10)
    assert before is not None
    assert after is not None


def test_a_folder_of_somebody_else_is_refused(tmp_path: Path) -> None:
    """A service is not created over files that are not a service's."""
    (tmp_path / "precious").touch()
    with pytest.raises(ServiceError, match="is not empty"):
        Valkey(tmp_path).create()
    assert (tmp_path / "precious").exists()


def test_a_service_that_cannot_start_says_why(folder: Path) -> None:
    """A configuration that RabbitMQ refuses ends in an error with its log, and with no process."""
    with pytest.raises(ServiceError, match="nonsense"):
        open_rabbitmq(folder / "rabbitmq", config=["nonsense = 1"]).create()
    assert processes_of(folder) == set()


def test_an_own_node_takes_settings_and_survives_kill(folder: Path) -> None:
    """A test's own node runs beside the session's with its own settings and keeps its data over kill and start."""
    settings = {"channel_tick_interval": "250"}
    with open_rabbitmq(folder / "own", config=["consumer_timeout = 1500"], advanced=settings) as node:
        assert "1500" in node.ctl("eval", "application:get_env(rabbit, consumer_timeout).")
        assert "250" in node.ctl("eval", "application:get_env(rabbit, channel_tick_interval).")
        vhost = node.add_vhost()
        with pika.BlockingConnection(pika.URLParameters(vhost.url)) as connection:
            channel = connection.channel()
            channel.queue_declare("kept", durable=True, arguments={"x-queue-type": "quorum"})
            channel.confirm_delivery()
            channel.basic_publish("", "kept", b"one")
        wait_until(lambda: node.registered(vhost, "kept"), 10, "the queue to be registered on disk")
        node.kill()
        assert not node.running()
        node.start()
        wait_until(lambda: node.depths(vhost) == {"kept": 1}, 20, "the message after the crash")


def test_each_vhost_is_empty_and_counts_its_own(rabbitmq: RabbitMQ, vhost: Vhost) -> None:
    """Two virtual hosts hold queues of one name without meeting, and depths are told per virtual host."""
    other = rabbitmq.add_vhost()
    for target, count in ((vhost, 3), (other, 1)):
        with pika.BlockingConnection(pika.URLParameters(target.url)) as connection:
            channel = connection.channel()
            channel.queue_declare("same", durable=True, arguments={"x-queue-type": "quorum"})
            channel.confirm_delivery()
            for _ in range(count):
                channel.basic_publish("", "same", b"x")
    wait_until(lambda: rabbitmq.depths(vhost) == {"same": 3}, 10, "three messages")
    wait_until(lambda: rabbitmq.depths(other) == {"same": 1}, 10, "one message")
    rabbitmq.delete_vhost(other)
    assert rabbitmq.depths(other) == {}


def test_a_process_lives_until_its_last_thread_has_ended(tmp_path: Path) -> None:
    """Its first thread is a zombie by then, as it is while the others of a killed server still hold its port."""
    pid_file = tmp_path / "process.pid"
    program = """
import ctypes, threading, time
threading.Thread(target=time.sleep, args=(60,)).start()
ctypes.CDLL(None).pthread_exit(None)
"""
    spawn([sys.executable, "-c", program], pid_file=pid_file, log=tmp_path / "log", env={})
    found = find(pid_file)
    assert found is not None
    wait_until(lambda: found.status() == psutil.STATUS_ZOMBIE, 20, "the end of its first thread")
    assert find(pid_file) is not None
    end(pid_file, signal.SIGKILL, 10)
    assert not lives(found)


def test_a_killed_valkey_comes_back_empty_on_its_port(folder: Path) -> None:
    """The port of a Valkey that was killed is refused until it is started again."""
    with Valkey(folder / "valkey") as valkey:
        url = valkey.url
        valkey.kill()
        assert not valkey.running()
        valkey.start()
        assert valkey.url == url


def test_a_killed_postgresql_keeps_what_was_committed(folder: Path) -> None:
    """A server of a test's own takes settings, survives SIGKILL amid a statement, and leaves nothing when stopped."""
    with PostgreSQL(folder / "postgresql", max_connections="7") as server:
        database = server.add_database()
        assert server.sql("SHOW max_connections") == "7"
        assert server.sql("SHOW fsync") == "on"
        server.sql("CREATE TABLE kept AS SELECT 1 AS number", database)
        command, env = server.psql_command(database)
        with subprocess.Popen([*command, "--command=SELECT pg_sleep(60)"], env=env, stderr=subprocess.DEVNULL):
            wait_until(lambda: "pg_sleep" in server.sql("SELECT query FROM pg_stat_activity"), 10, "the statement")
            server.kill()
        assert not server.running()
        server.start()
        assert server.sql("SELECT number FROM kept", database) == "1"
        data = Path(server.record["data"])
    assert processes_of(folder) == set()
    assert not data.exists()


def test_waiting_in_vain_names_what_was_waited_for() -> None:
    """A deadline that passes tells what was waited for and what was last seen."""
    with pytest.raises(TimeoutError, match=r"0.05 s in vain for three messages; last seen: 0"):
        wait_until(lambda: 0, 0.05, "three messages")
    assert wait_until(lambda: [1], 0.05, "a value") == [1]
