"""A PostgreSQL of our own, from Debian's package: its own folder, port and superuser, whoever else runs one here."""

import contextlib
import os
import pwd
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import psutil

from tests.services import process
from tests.services.base import Service, ServiceError

USER, PASSWORD = "postgres", "guest"

_BIN_FOLDERS = ("/usr/lib/postgresql/*/bin", "/opt/homebrew/opt/postgresql@*/bin", "/usr/local/opt/postgresql@*/bin")

_UNPRIVILEGED = ("postgres", "nobody")
"""The server refuses to run as root, so it then runs as the first of these that there is."""

_SSL_REQUEST = struct.pack("!ii", 8, 80877103)
"""The first message of a client that asks whether the server has TLS: answered by one letter, and logged by nobody."""


class PostgreSQL(Service):
    """One server. It keeps ``fsync`` on, so that what it has committed survives ``kill``.

    ``settings`` are more lines of postgresql.conf: ``max_connections="5"``.
    """

    kind = "postgresql"

    def __init__(self, folder: Path, **settings: str) -> None:
        super().__init__(folder)
        self._settings = settings

    @property
    def url(self) -> str:
        return self.url_of("postgres")

    def url_of(self, database: str, user: str = USER, password: str = PASSWORD) -> str:
        return f"postgresql://{user}:{quote(password, safe='')}@127.0.0.1:{self.record['port']}/{database}"

    def exports(self) -> dict[str, str]:
        return {"REFERRALS_POSTGRES_URL": self.url}

    def add_database(self) -> str:
        """The URL of a new, empty database; takes 0.1 s."""
        name = f"test_{uuid.uuid4().hex[:12]}"
        self.sql(f"CREATE DATABASE {name}")
        return self.url_of(name)

    def delete_database(self, url: str) -> None:
        """Remove the database of this URL; its connections are closed."""
        self.sql(f"DROP DATABASE {urlsplit(url).path.removeprefix('/')} WITH (FORCE)")

    def sql(self, statement: str, url: str | None = None) -> str:
        """What ``psql`` printed for a statement, a row a line with | between its columns.

        Raises:
          ServiceError: it failed; the text is what it said.
        """
        command, env = self.psql_command(url)
        options = ["--no-align", "--tuples-only", "--set=ON_ERROR_STOP=1", f"--command={statement}"]
        done = subprocess.run([*command, *options], env=env, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise ServiceError(f"psql: {done.stderr.strip()}")
        return done.stdout.strip()

    def psql_command(self, url: str | None = None) -> tuple[list[str], dict[str, str]]:
        """The command line and the environment that make ``psql`` speak to this server."""
        parts = urlsplit(url or self.url)
        options = [f"--host={parts.hostname}", f"--port={parts.port}", f"--username={parts.username}"]
        # The environment of one process is its owner's alone; a command line is everybody's.
        env = {**_environment(), "PGPASSWORD": parts.password or ""}
        return [str(self._bin() / "psql"), "--no-psqlrc", *options, parts.path.removeprefix("/")], env

    def running(self) -> bool:
        return process.find(self._pid_file) is not None

    def kill(self) -> None:
        """SIGKILL to the server and all its processes, as if the machine had ended; ``start`` brings it back."""
        family = []
        with contextlib.suppress(psutil.NoSuchProcess):
            if leader := process.find(self._pid_file):
                # Stopped, so that it starts none that is missing from the list.
                leader.suspend()
                family = leader.children(recursive=True)
        process.end(self._pid_file, signal.SIGKILL, 10)
        for each in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()
        # A busy one outlives its server, and no other server starts until it has ended.
        psutil.wait_procs(family, timeout=10)

    def restart(self) -> None:
        """Stop as an administrator does who doesn't wait for clients, and start again with the same data."""
        process.end(self._pid_file, signal.SIGINT, 40)
        self.start()

    def stop(self) -> None:
        self.kill()
        if "data" in self.record:
            shutil.rmtree(self.record["data"], ignore_errors=True)

    @property
    def _pid_file(self) -> Path:
        return self.folder / "postgresql.pid"

    def _settle(self) -> dict[str, Any]:
        (port,) = process.free_ports(1)
        found = find_bin()
        if not found:
            raise ServiceError(
                "no PostgreSQL here: `apt install postgresql`, or set POSTGRESQL_BIN to the folder of its initdb"
            )
        user = _unprivileged()
        # Our own folder is closed to others, so another user's data lies elsewhere.
        data = Path(tempfile.mkdtemp(prefix="rd-postgresql-")) if user else self.folder / "data"
        if user:
            shutil.chown(data, user)
        return {"port": port, "bin": str(found), "user": user, "data": str(data)}

    def _spawn(self) -> None:
        data = Path(self.record["data"])
        if not (data / "PG_VERSION").exists():
            self._initialise(data)
        if self.running():
            return
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.record["port"]),
            "unix_socket_directories": "",
            "log_timezone": "UTC",
        } | self._settings
        options = [f"--{name}={value}" for name, value in settings.items()]
        command = [str(self._bin() / "postgres"), "-D", str(data), *options]
        process.spawn(self._as_user(command), pid_file=self._pid_file, log=self.log, env=_environment())

    def _initialise(self, data: Path) -> None:
        with _password_file(self.record["user"]) as file:
            options = ["--auth=scram-sha-256", f"--username={USER}", f"--pwfile={file}", "--no-sync"]
            encoding = ["--encoding=UTF8", "--locale=C"]
            command = self._as_user([str(self._bin() / "initdb"), "-D", str(data), *options, *encoding])
            made = subprocess.run(command, env=_environment(), cwd="/", capture_output=True, text=True, check=False)
        self.log.write_text(made.stdout + made.stderr)
        if made.returncode != 0:
            raise ServiceError(f"initdb failed:\n{self.log_tail()}")

    def _as_user(self, command: list[str]) -> list[str]:
        user = self.record["user"]
        if user is None:
            return command
        # It executes the command in its own place, so that the pid is the server's.
        group = pwd.getpwnam(user).pw_gid
        return [str(shutil.which("setpriv")), f"--reuid={user}", f"--regid={group}", "--clear-groups", *command]

    def _bin(self) -> Path:
        return Path(self.record["bin"])

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.record["port"]), timeout=1) as client:
                client.sendall(_SSL_REQUEST)
                if client.recv(1) not in (b"N", b"S"):
                    return False
            self.sql("SELECT 1")
        except (OSError, ServiceError):
            return False
        return True


def find_bin() -> Path | None:
    """The folder with ``initdb``, ``postgres`` and ``psql``: ``$POSTGRESQL_BIN``, or where packages put it."""
    if chosen := os.environ.get("POSTGRESQL_BIN"):
        return Path(chosen)
    for pattern in _BIN_FOLDERS:
        for folder in sorted(Path("/").glob(pattern.lstrip("/")), reverse=True):
            if (folder / "initdb").exists():
                return folder
    return None


def _unprivileged() -> str | None:
    """The user as whom the server runs; None: as ourselves."""
    if os.geteuid() != 0:
        return None
    known = {each.pw_name for each in pwd.getpwall()}
    return next(name for name in _UNPRIVILEGED if name in known)


@contextlib.contextmanager
def _password_file(user: str | None) -> Iterator[Path]:
    with tempfile.NamedTemporaryFile("w", prefix="rd-postgresql-") as file:
        file.write(PASSWORD)
        file.flush()
        if user:
            shutil.chown(file.name, user)
        yield Path(file.name)


def _environment() -> dict[str, str]:
    """Nobody's PGHOST, PGPASSFILE or language."""
    return {"LC_ALL": "C", "PATH": os.environ.get("PATH", os.defpath)}
