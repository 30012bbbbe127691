"""The import rule is enforced by a check that can fail, and tests/unit mirrors what it tests."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.rooms import REPOSITORY

MODULES = (
    "errors",
    "clock",
    "instants",
    "model/__init__",
    "model/job",
    "limits/__init__",
    "limits/token_bucket",
    "scheduling/__init__",
    "scheduling/gate",
    "scheduling/gate_shop",
    "scheduling/set_aside",
    "scheduling/kept_apart",
    "scheduling/looks",
    "scheduling/openings",
    "scheduling/priorities",
    "scheduling/breaker",
    "scheduling/attribution",
    "dispatch",
    "store/__init__",
    "store/protocol",
    "store/memory/__init__",
    "store/memory/store",
    "store/redis/__init__",
    "store/factory",
    "refer2/__init__",
    "refer2/client",
    "refer2/tokens",
    "rabbitmq/__init__",
    "rabbitmq/port",
    "embedded/__init__",
    "sandbox/__init__",
    "app",
    "cli",
)

_DOWN = "Imports go down only"
_PURE = "do no I/O, read no clock and start no thread"

BROKEN = {
    "a leaf imports a room": ("clock", "import worker.scheduling.gate", _DOWN),
    "policy imports a broker": ("dispatch", "import worker.rabbitmq.port", _DOWN),
    "the use case imports HTTP's room": ("dispatch", "import worker.refer2.client", _DOWN),
    "a broker imports the wiring": ("rabbitmq/port", "import worker.app", _DOWN),
    "the wiring imports a command": ("app", "from worker import cli", _DOWN),
    "a broker imports the other": ("embedded/__init__", "import worker.rabbitmq.port", _DOWN),
    "a store imports the broker": ("store/memory/store", "import worker.rabbitmq.port", _DOWN),
    "a store imports the other": ("store/memory/store", "import worker.store.redis", "A store knows the protocol"),
    "a room without a layer": ("novelty", "", "worker.novelty"),
    "a store without a layer": ("store/novelty", "", "worker.store.novelty"),
    "a job reads the clock": ("model/job", "import worker.clock", _PURE),
    "a limit reads the time": ("limits/token_bucket", "import time", _PURE),
    "the gate logs": ("scheduling/gate", "import structlog", _PURE),
    "the breaker starts a thread": ("scheduling/breaker", "import threading", _PURE),
    "HTTP outside its room": ("dispatch", "import requests", "Only worker.refer2 speaks HTTP"),
    "HTTP hidden in a function": ("cli", "def f():\n    import requests.adapters", "speaks HTTP"),
    "AMQP outside its room": ("app", "import pika", "Only worker.rabbitmq speaks AMQP"),
    "Redis outside its store": ("store/memory/store", "import redis", "Only worker.store.redis speaks to Redis"),
    "HTML outside the page": ("cli", "import jinja2", "Only worker.reporting.page makes HTML"),
    "spans outside their room": ("app", "import opentelemetry.trace", "Only worker.telemetry.spans makes spans"),
    "signing outside tokens": ("refer2/client", "import jwt", "Only worker.refer2.tokens signs tokens"),
}

ALLOWED = {
    "model/job": "import worker.instants\nimport worker.errors",
    "refer2/client": "import requests\nimport worker.errors",
    "refer2/tokens": "import jwt",
    "rabbitmq/port": "import pika\nimport worker.scheduling.gate\nimport worker.store.protocol",
    "store/memory/store": "import worker.store.protocol",
    "store/factory": "import worker.store.memory.store\nimport worker.store.redis",
    "dispatch": "import worker.store.protocol",
    "app": "import worker.refer2.client\nimport worker.refer2.tokens\nimport worker.rabbitmq.port",
    "cli": "import worker.app\nimport worker.sandbox",
}


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the check over the package ``worker`` in ``folder``, with our rules."""
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A small package of our shape that keeps every rule, beside a copy of the rules."""
    shutil.copy(REPOSITORY / ".importlinter", tmp_path)
    for name in ("__init__", *MODULES):
        path = tmp_path / "worker" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(ALLOWED.get(name, ""))
    return tmp_path


def test_this_package_keeps_its_layers() -> None:
    """The rules hold for the package as it is."""
    checked = lint(REPOSITORY)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_imports_that_go_down_pass(package: Path) -> None:
    """What the layers allow is not reported, however few of the modules exist."""
    checked = lint(package)
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize(("module", "line", "complaint"), BROKEN.values(), ids=BROKEN.keys())
def test_a_forbidden_import_fails(package: Path, module: str, line: str, complaint: str) -> None:
    """One import in the wrong direction, or one of a library outside its boundary, fails and is named."""
    path = package / "worker" / f"{module}.py"
    path.write_text(f"{ALLOWED.get(module, '')}\n{line}\n")
    checked = lint(package)
    assert checked.returncode == 1, checked.stdout + checked.stderr
    assert "1 broken" in checked.stdout
    assert complaint in checked.stdout


MIRRORED = ("worker", "scripts/programs", "tests")
"""Where the subject of tests/unit/X/test_Y.py is: X/Y.py, or the package X/Y, below one of them."""

TOPICS = {
    "campaigns/containers/test_containers.py": "containers of every kind, from the arguments to the jobs",
    "campaigns/exports/test_tables.py": "spreadsheets' mistakes, which cells, dialect and delimited meet together",
    "scheduling/test_halted.py": "halted shops and suspect jobs: breakers, token probe and gate in one consumer",
    "scheduling/test_wall.py": "one customer's wall of jobs: gate, store and delay queues on virtual time",
    "simulator/test_campaigns.py": "orders about campaigns: holds, gate, admission and store on virtual time",
    "simulator/test_urgent.py": "urgent jobs beside a campaign: gate, admission, limits and queues on virtual time",
    "simulator/test_windows.py": "windows over simulated fortnights: gate, admission and dispatch on virtual time",
    "store/test_ledger_model.py": "the ledger's promises over every order of events, searched by ledger_model",
    "store/test_units.py": "the table of docs/store.md that shows both stores' units side by side",
    "test_docs.py": "docs/, README and CONTRIBUTING",
    "test_dramatiq_contract.py": "what we lean on in Dramatiq beyond its documentation",
    "test_layers.py": ".importlinter, and this list",
    "test_released.py": "what released versions wrote: model and store",
}
"""Tests about something that no single module is, and what."""


def subjects(test: Path) -> list[Path]:
    """Where what the test is named after would be."""
    name = test.relative_to(REPOSITORY / "tests" / "unit").with_name(test.stem.removeprefix("test_"))
    return [path for root in MIRRORED for path in (REPOSITORY / root / f"{name}.py", REPOSITORY / root / name)]


def test_unit_tests_mirror_what_they_test() -> None:
    """A test has the name and the place of its module; the few about a topic are listed, and no more than those."""
    tests = (REPOSITORY / "tests" / "unit").rglob("test_*.py")
    orphans = {test for test in tests if not any(subject.exists() for subject in subjects(test))}
    assert sorted(str(test.relative_to(REPOSITORY / "tests" / "unit")) for test in orphans) == sorted(TOPICS)
