"""What a command costs before it does anything."""

import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import psutil

from scripts.programs.benchmarks.process import BenchmarkError, fine_usage, run_to_end
from scripts.programs.benchmarks.report import Benchmark, Report, cell, share
from scripts.programs.benchmarks.site import Site
from worker.cli.main import COMMANDS

BARE = [sys.executable, "-c", "pass"]

ASKING = ("shops pause --all --reason texts", "shops list", "status", "cancel spring", "dead list")
"""Commands that an operator waits for."""

ANSWER_SECONDS = 60


def to_the_end(site: Site, command: Sequence[str]) -> float:
    """The CPU of a command that ends by itself, in milliseconds."""
    return run_to_end(command, site.environment())[1] * 1000


def to_its_first_byte(site: Site, command: Sequence[str], shops: Path) -> tuple[float, float]:
    """What a command takes until its first byte is on the network, in milliseconds: of CPU, and in all."""
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        nobody.settimeout(ANSWER_SECONDS)
        place = f"127.0.0.1:{nobody.getsockname()[1]}"
        # Neither answers: the command waits while it is measured.
        env = site.environment(
            shops=shops, REFERRALS_REDIS_URL=f"redis://{place}", REFERRALS_AMQP_URL=f"amqp://{place}"
        )
        began = time.monotonic()
        with subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            try:
                caller, _ = nobody.accept()
                with caller:
                    caller.settimeout(ANSWER_SECONDS)
                    came = caller.recv(1)
                    seconds = time.monotonic() - began
                    cpu = fine_usage(psutil.Process(process.pid)).cpu
            except TimeoutError:
                came = b""
            finally:
                process.kill()
        if not came:
            raise BenchmarkError(f"{' '.join(command)}: has sent nothing")
        return cpu * 1000, seconds * 1000


def run(site: Site) -> Report:
    """Some rounds of all, by turns, so that the machine's other load affects each."""
    rounds = site.of(7, 1)
    shops = site.folder / "start.toml"
    shops.write_text('[shops.acme]\nkey_id = "k"\nsecret_file = "start.key"\n')
    (site.folder / "start.key").write_text("0" * 32)
    helps = {f"{name} --help": site.referrals(name, "--help") for name in COMMANDS}
    ending = {"--version": site.referrals("--version"), "--help": site.referrals("--help")} | helps
    bare: list[float] = []
    ended: dict[str, list[float]] = {words: [] for words in ending}
    asked: dict[str, list[tuple[float, float]]] = {words: [] for words in ASKING}
    for _ in range(rounds):
        bare.append(to_the_end(site, BARE))
        for words, command in ending.items():
            ended[words].append(to_the_end(site, command))
        for words, taken in asked.items():
            taken.append(to_its_first_byte(site, site.referrals(*words.split()), shops))
    least, most = (of(helps, key=lambda words: median(ended[words])) for of in (min, max))
    rows: list[Sequence[str]] = [("`python -c pass`", cell(bare, 0), "", "")]
    rows += [_row(words, ended[words], bare) for words in ("--version", "--help", least, most)]
    rows += [
        _row(words, [cpu for cpu, _ in taken], bare, [seconds for _, seconds in taken])
        for words, taken in asked.items()
    ]
    return Report(
        ("", "CPU, ms", "ratio", "to its first byte, ms"),
        rows,
        [
            (
                f"{rounds} rounds, by turns; medians, and in brackets the least and the most. Of the {len(helps)} "
                "commands' `--help` the cheapest and the dearest."
            )
        ],
    )


def _row(words: str, cpu: Sequence[float], bare: Sequence[float], seconds: Sequence[float] = ()) -> tuple[str, ...]:
    return (
        f"`referrals {words}`",
        cell(cpu, 0),
        share(median(cpu), median(bare)),
        cell(seconds, 0) if seconds else "",
    )


BENCHMARK = Benchmark(
    name="start",
    title="What a command costs before it does anything",
    reading="""\
Each command in a process of its own, beside an interpreter that does nothing. Those that only print run to their end.
Those that ask RabbitMQ or the store are measured until their first byte is on the network: then they have read their
settings and, but for `dead list`, the shops file, and imported what they need. CPU is user and system time of the
process.""",
    run=run,
)
