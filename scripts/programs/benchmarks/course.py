"""What the contestants of ``peers`` run on: their packages, and an empty virtual host with stores and an API."""

import json
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt
import redis

from scripts.programs.benchmarks.process import BenchmarkError
from scripts.programs.benchmarks.site import ROOT, Site
from tests.services import Valkey, Vhost
from worker.rabbitmq.connection import connect, parameters
from worker.rabbitmq.declare import declare_topology
from worker.rabbitmq.topology import queues
from worker.sandbox.config import SANDBOX_KEY_ID, SANDBOX_SECRET


@dataclass(frozen=True)
class Tools:
    """Where ``scripts/peers`` has put the contestants' packages, and Node.js itself."""

    python: Path
    modules: Path
    node: Path

    @classmethod
    def made(cls) -> "Tools":
        """Made, if they aren't yet."""
        done = subprocess.run([ROOT / "scripts/peers"], stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode != 0:
            raise BenchmarkError("scripts/peers failed, see above")
        return cls(*map(Path, done.stdout.split()))

    def draw(self, description: object) -> str:
        """The SVG of what drawing.py is asked for."""
        command = [self.python / "bin/python", ROOT / "scripts/programs/benchmarks/drawing.py"]
        drawn = subprocess.run(command, input=json.dumps(description), stdout=subprocess.PIPE, text=True, check=True)
        return drawn.stdout

    def versions(self, *names: str) -> str:
        """Those of Python packages, and of Node.js and BullMQ's parts."""
        program = "import sys, importlib.metadata as m; print(', '.join(f'{n} {m.version(n)}' for n in sys.argv[1:]))"
        listed = subprocess.check_output([self.python / "bin/python", "-c", program, *names], text=True).strip()
        for name in ("bullmq", "ioredis", "undici"):
            package = json.loads((self.modules / "node_modules" / name / "package.json").read_text())
            listed += f", {name} {package['version']}"
        return f"{listed}, Node.js {subprocess.check_output([self.node, '--version'], text=True).strip()}"


@dataclass(frozen=True)
class Course:
    """What a contestant runs on: an empty virtual host, empty stores, and the API. ``keys`` are each shop's limits."""

    site: Site
    tools: Tools
    vhost: Vhost
    durable: Valkey
    api_url: str
    ca_file: Path | None
    shops: Sequence[str]
    keys: Mapping[str, float]
    threads: int
    processes: int = 1
    per_second: int = 0

    def environment(self, **more: str) -> dict[str, str]:
        """That of a contestant's program."""
        claims = {"aud": "BH", "exp": int(time.time()) + 86_400}
        tokens = {
            shop: jwt.encode(claims | {"sub": shop}, SANDBOX_SECRET, algorithm="HS256", headers={"kid": SANDBOX_KEY_ID})
            for shop in self.shops
        }
        file = self.site.folder / "tokens.json"
        file.write_text(json.dumps(tokens))
        if self.ca_file is not None:
            more["BENCH_CA_FILE"] = str(self.ca_file)
        its = {
            "BENCH_API_URL": self.api_url,
            "BENCH_AMQP_URL": self.vhost.url,
            "BENCH_TOKENS": str(file),
            "BENCH_THREADS": str(self.threads),
            "BENCH_PER_SECOND": str(self.per_second),
        }
        return self.site.environment() | its | more

    def durable_store(self) -> Any:
        """A client of the store that syncs each change to disk."""
        return redis.Redis.from_url(self.durable.url)

    def empty_durable_store(self) -> None:
        """What a round before left."""
        self.durable_store().flushall()

    def python(self, *arguments: str) -> list[str]:
        """A command line in the contestants' environment."""
        return [str(self.tools.python / "bin/python"), *arguments]

    def declare_results(self) -> None:
        """The exchange and the queue of results, where contestants publish theirs too."""
        connection = connect(parameters(self.vhost.url, name="bench"))
        declare_topology(connection, queues(()))
        connection.close()
