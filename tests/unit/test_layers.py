"""The import rule is enforced by a check that can fail."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]

MODULES = (
    "errors",
    "clock",
    "gate",
    "dispatch",
    "store/__init__",
    "store/base",
    "store/memory",
    "broker/__init__",
    "broker/consumer",
    "refer2",
    "tokens",
    "sandbox/__init__",
    "app",
    "cli",
)

BROKEN = {
    "a leaf imports policy": ("clock", "import worker.scheduling.gate", "Imports go down only"),
    "policy imports an adapter": ("dispatch", "import worker.refer2.client", "Imports go down only"),
    "policy imports a store": ("dispatch", "import worker.store.memory.store", "Imports go down only"),
    "an adapter imports the wiring": ("broker/consumer", "import worker.app", "Imports go down only"),
    "the wiring imports a tool": ("app", "from worker import cli", "Imports go down only"),
    "an adapter imports another": ("refer2", "import worker.refer2.tokens", "adapters never import each other"),
    "a store imports the broker": ("store/memory", "import worker.rabbitmq.consumer", "adapters never import"),
    "a module without a layer": ("novelty", "", "worker.novelty"),
    "HTTP outside its adapter": ("gate", "import requests", "Only worker.refer2.client and its transport speak HTTP"),
    "HTTP hidden in a function": ("cli", "def f():\n    import requests.adapters", "speak HTTP"),
    "AMQP outside the broker": ("app", "import pika", "Only worker.rabbitmq speaks AMQP"),
    "Redis outside its store": ("store/memory", "import redis", "Only worker.store.redis speaks to Redis"),
    "signing outside tokens": ("refer2", "import jwt", "Only worker.refer2.tokens signs tokens"),
}

ALLOWED = {
    "refer2": "import requests\nimport worker.errors",
    "broker/consumer": "import pika\nimport worker.scheduling.gate\nimport worker.store.protocol",
    "store/memory": "import worker.store.protocol",
    "dispatch": "import worker.scheduling.gate\nimport worker.store.protocol",
    "tokens": "import jwt",
    "app": "import worker.refer2.client\nimport worker.refer2.tokens\nimport worker.rabbitmq.consumer",
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
