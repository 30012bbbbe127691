"""``scripts/bench fuzz``: run targets, report what they found, keep the corpus small."""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.fuzz.catalogue import TARGETS
from tests.fuzz.target import Target
from tests.fuzz.test_boundaries import LARGEST_CORPUS, LARGEST_INPUT

MEMORY_MIB = 1024
"""A process that grows beyond it ends: no input of 4 KiB is worth that."""

ROOT = Path(__file__).resolve().parents[3]


def main() -> int:
    """0; 1 where a promise was broken, with the place of the input that did it."""
    arguments = _parser().parse_args()
    folder = Path(tempfile.mkdtemp(prefix="referrals-fuzz-"))
    broken = 0
    for name in arguments.targets or TARGETS:
        target, findings = TARGETS[name], folder / name / "findings"
        met = folder / name / "corpus"
        met.mkdir(parents=True)
        print(f"{name}: {arguments.minutes:g} minutes …", file=sys.stderr, flush=True)
        runs = _run(target, met, findings, arguments.seed, arguments.minutes)
        found = sorted(findings.glob("*.txt")) if findings.exists() else []
        broken += len(found)
        kept = _minimise(target, met, folder / name)
        print(f"{name}: {runs} inputs, {len(found)} promises broken, {kept} inputs kept", flush=True)
        for path in found:
            print(f"  {path.with_suffix('')}: {path.read_text().splitlines()[0]}", flush=True)
    if not broken:
        shutil.rmtree(folder)
    return 1 if broken else 0


def _run(target: Target, met: Path, findings: Path, seed: int, minutes: float) -> str:
    words = findings.parent / "words"
    words.write_text("".join(f'"{_escaped(word)}"\n' for word in target.words))
    done = _fuzzer(
        target,
        findings,
        f"-seed={seed}",
        f"-max_total_time={max(1, round(minutes * 60))}",
        f"-rss_limit_mb={MEMORY_MIB}",
        "-timeout=30",
        "-reload=0",
        f"-dict={words}",
        f"-artifact_prefix={findings}/",
        "-print_final_stats=1",
        str(met),
        str(target.folder),
    )
    for path in [path for path in findings.glob("*-*") if path.suffix != ".txt"]:
        # A crash, a time-out or too much memory, by which the process itself was ended.
        path.with_suffix(".txt").write_text(f"{path.name.partition('-')[0]}\n")
    counted = [line.split()[-1] for line in done.splitlines() if line.startswith("stat::number_of_executed_units")]
    if not counted:
        raise SystemExit(f"scripts/bench fuzz: {target.name}: the fuzzer did not run\n{done[-2000:]}")
    return f"{int(counted[0]):,}"


def _escaped(word: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word)


def _minimise(target: Target, met: Path, scratch: Path) -> int:
    # The fewest inputs that reach all that these reached; of too many, the shortest.
    merged = scratch / "merged"
    merged.mkdir()
    _fuzzer(target, scratch / "findings", "-merge=1", "-reload=0", str(merged), str(target.folder), str(met))
    inputs = sorted((path.read_bytes() for path in merged.iterdir()), key=lambda data: (len(data), data))
    inputs = [data for data in inputs if len(data) <= LARGEST_INPUT]
    # Those that were put there by hand stay: one of each kind that the boundary is made for.
    kept = {path.name: path.read_bytes() for path in target.folder.iterdir() if not path.name.startswith("f-")}
    for data in inputs:
        if len(kept) < LARGEST_CORPUS and data not in kept.values():
            kept[f"f-{hashlib.sha256(data).hexdigest()[:12]}"] = data
    shutil.rmtree(target.folder)
    target.folder.mkdir()
    for name, data in kept.items():
        (target.folder / name).write_bytes(data)
    return len(kept)


def _fuzzer(target: Target, findings: Path, *options: str) -> str:
    command = [sys.executable, "-m", "scripts.programs.fuzzing.guided", target.name, str(findings), *options]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, errors="replace", check=False)
    (findings.parent / "log").write_text(done.stdout + done.stderr)
    return done.stdout + done.stderr


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/bench fuzz",
        description="Try the boundaries with bytes that a fuzzer makes, and keep those that led it on in tests/fuzz.",
        epilog=f"targets: {', '.join(TARGETS)}",
    )
    parser.add_argument("targets", nargs="*", metavar="TARGET", choices=[*TARGETS, []], help="all where none is named")
    parser.add_argument("--minutes", type=float, default=10.0, help="for each target; 10 if not given")
    parser.add_argument("--seed", type=int, default=1, help="of the fuzzer's choices; 1 if not given")
    return parser


if __name__ == "__main__":
    sys.exit(main())
