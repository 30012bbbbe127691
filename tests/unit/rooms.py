"""The rooms of worker/, and the layers that .importlinter puts them into, for the tests that hold pages to both."""

import re
from configparser import ConfigParser
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
WORKER = REPOSITORY / "worker"


def _layers() -> list[list[str]]:
    rule = ConfigParser()
    rule.read(REPOSITORY / ".importlinter", encoding="utf-8")
    lines = rule["importlinter:contract:layers"]["layers"].strip().splitlines()
    return [re.findall(r"\w+", line) for line in lines]


LAYERS = _layers()
"""From the top; those of one layer never import each other."""

ROOMS = {
    path.stem
    for path in WORKER.iterdir()
    if path.name not in ("__init__.py", "__pycache__", "py.typed") and (path.suffix == ".py" or path.is_dir())
}
"""Modules and packages right below worker/."""

PACKAGES = sorted(str(path.parent.relative_to(WORKER)) for path in WORKER.glob("*/**/__init__.py"))
"""Every package below worker/, as a path."""
