"""One fixed run of a worker, and what it counted a job."""

import json
import os
import socket
import sys
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from scripts.programs.benchmarks.inputs import CHANNEL, UNLIMITED, customer, slugs, write_shops
from scripts.programs.benchmarks.site import ROOT, THREADS, Site
from worker.model.job import Customer, Job
from worker.rabbitmq.connection import parameters
from worker.rabbitmq.producer import Producer


@dataclass(frozen=True)
class Plan:
    """A run: looked at first and last after so many calls, that is after the start, and with a backlog still there."""

    shops: int
    threads: int
    prefetch: int
    first: int
    last: int
    jobs: int


FULL = Plan(shops=10, threads=THREADS, prefetch=16, first=200, last=1000, jobs=1200)
"""As a worker usually runs, with several jobs done at one go: how many depends on how busy the machine is, so that only
the sum is compared. On a busy one pika's calls were a fifth more, and those of all together a fiftieth."""

ONE_BY_ONE = Plan(shops=1, threads=1, prefetch=1, first=50, last=250, jobs=260)
"""Each job alone: its parts, and how often threads wait, hardly depend on the machine. What is gained by doing several
at one go is not seen here."""

_SECONDS = 120

# By qualified name: those by which our code and its libraries wait, read and write. What C code calls by itself, as for
# its locks, is not seen.
_SYSTEM_CALLS = frozenset(
    {
        *("socket.send", "socket.sendall", "socket.recv", "socket.recv_into", "socket.connect"),
        *("_SSLSocket.read", "_SSLSocket.write"),
        *("poll.poll", "select", "epoll.poll", "epoll.modify", "epoll.register"),
        *("sleep", "open", "read", "write", "fsync", "stat"),
    }
)


def counts(site: Site) -> dict[str, float]:
    """Calls a job; then, one by one, calls in each part of the code and system calls, and without the probe context
    switches.
    """
    parts = _counted(site, ONE_BY_ONE, probed=True) | _counted(site, ONE_BY_ONE, probed=False)
    return parts | {"calls": _counted(site, FULL, probed=True)["calls"], "calls one by one": parts["calls"]}


def _counted(site: Site, plan: Plan, *, probed: bool) -> dict[str, float]:
    shops = site.folder / "shops.toml"
    with site.vhost() as vhost, site.upstream() as api:
        with Producer(parameters(vhost.url, name="counts")) as producer:
            producer.declare(slugs(plan.shops))
            for job in _jobs(plan):
                producer.send(job)
            producer.flush()
        write_shops(shops, api.url, slugs(plan.shops), UNLIMITED)
        env = site.environment(
            vhost, shops, REFERRALS_REDIS_URL=site.searched_store(), REFERRALS_PREFETCH=str(plan.prefetch)
        )
        if probed:
            path = os.pathsep.join((str(Path(__file__).parent / "probe"), str(ROOT)))
            env |= {"COUNTING_FOLDER": str(site.folder), "PYTHONPATH": path}
        with site.start("work", site.referrals("work", "--threads", str(plan.threads)), env) as program:
            looks: list[Mapping[str, int]] = []
            for calls in (plan.first, plan.last):
                deadline = time.monotonic() + _SECONDS
                while (answered := api.count()) < calls:
                    if time.monotonic() > deadline:
                        raise TimeoutError(f"{answered} of {calls} calls in {_SECONDS} s: {program.output()[-500:]}")
                    time.sleep(0.01)
                worker = program.worker()
                looks.append(_probe(site, worker) if probed else {"jobs": answered, **_switches(worker)})
    before, after = looks
    jobs = after["jobs"] - before["jobs"]
    return {name: round((after[name] - before.get(name, 0)) / jobs, 1) for name in after if name != "jobs"}


def _jobs(plan: Plan) -> list[Job]:
    shops = slugs(plan.shops)
    return [
        Job.create(
            shop=shops[number % plan.shops],
            campaign="counts",
            customer=Customer(email=customer(number)),
            channel=CHANNEL,
        )
        for number in range(plan.jobs)
    ]


def _probe(site: Site, worker: psutil.Process) -> Mapping[str, int]:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(site.folder / f"{worker.pid}.socket"))
        told = json.loads(b"".join(iter(lambda: client.recv(65536), b"")))
    found = Counter[str](jobs=told["jobs"])
    for file, calls in told["python"].items():
        found[f"calls in {_part(file)}"] += calls
        found["calls"] += calls
    for name in _SYSTEM_CALLS & told["builtin"].keys():
        found[f"system calls {name}"] = told["builtin"][name]
        found["system calls"] += told["builtin"][name]
    return found


def _part(file: str) -> str:
    """Of the code: a library, a module of the standard library, or a room of ours."""
    for root in ("site-packages/", f"{ROOT}/", f"lib/python{sys.version_info.major}.{sys.version_info.minor}/"):
        if root in file:
            first, *rest = file.partition(root)[2].split("/")
            return f"worker/{rest[0]}" if first == "worker" and rest else first.removesuffix(".py")
    return "generated code"


def _switches(worker: psutil.Process) -> Mapping[str, int]:
    # A thread's involuntary ones are the machine's load; by the voluntary ones it waits for something.
    switches = 0
    for task in Path(f"/proc/{worker.pid}/task").iterdir():
        # Some threads end at any time, as that which declares queues.
        with suppress(FileNotFoundError, ProcessLookupError):
            lines = (task / "status").read_text().splitlines()
            switches += sum(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt"))
    return {"context switches": switches}
