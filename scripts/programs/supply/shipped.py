"""Which distributions the image ships: those that uv.lock chooses for its base image, on either processor."""

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import Distribution, distribution
from pathlib import Path
from typing import Any

from packaging.markers import Environment
from packaging.pylock import PackageWheel, Pylock
from packaging.requirements import Requirement
from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import canonicalize_name

from scripts.programs.supply.bundled import bundled

ROOT = Path(__file__).resolve().parents[3]

MACHINES = ("x86_64", "aarch64")

_NEWEST_GLIBC = 36
"""The minor version in Debian 12, the oldest base that `python:3.12-slim` has stood for."""


@dataclass(frozen=True)
class Shipped:
    """A distribution of the image; ``wheels`` is the SHA-256 of each wheel of it by file name, one or one a machine."""

    name: str
    version: str
    wheels: dict[str, str] = field(default_factory=dict)

    @cached_property
    def installed(self) -> Distribution:
        """The same in .venv, which is made from the same lock file: its metadata and the files beside it."""
        found = distribution(self.name)
        assert found.version == self.version, f"{self.name} {found.version} is installed: run scripts/env"
        return found

    def parts(self) -> list[dict[str, Any]]:
        """What was compiled into it, as its own SBOM says (PEP 770) or we have read: CycloneDX components."""
        if (known := bundled(self.name, self.version)) is not None:
            return known
        own = [path for path in self.installed.files or () if path.parts[1:2] == ("sboms",) and path.suffix == ".json"]
        return [part for path in own for part in json.loads(path.read_text()).get("components", [])]


def shipped() -> list[Shipped]:
    """All of them, by name; the project itself is not among them.

    Raises:
      packaging.pylock.PylockSelectError: there is no wheel of one for a machine, so the image could not be built there.
    """
    lock = Pylock.from_dict(
        tomllib.loads(exported("--no-dev", "--all-extras", "--no-emit-project", "--format", "pylock.toml"))
    )
    found: dict[str, Shipped] = {}
    for machine in MACHINES:
        for package, wheel in lock.select(environment=_environment(machine), tags=list(_tags(machine))):
            assert isinstance(wheel, PackageWheel), f"{package.name}: has no wheel for {machine}"
            one = found.setdefault(package.name, Shipped(package.name, str(package.version)))
            one.wheels[wheel.filename] = wheel.hashes["sha256"]
    return [found[name] for name in sorted(found)]


def needs(one: Shipped) -> list[str]:
    """The names of the distributions that it asks for in the image, for itself and by the extras in use."""
    extras = ["", *(extra for each in wanted() if each.name == one.name for extra in sorted(each.extras))]
    environments: list[Mapping[str, Any]] = [{**_environment(MACHINES[0]), "extra": extra} for extra in extras]
    asked = (Requirement(line) for line in one.installed.requires or ())
    return sorted(
        {
            canonicalize_name(each.name)
            for each in asked
            if each.marker is None or any(each.marker.evaluate(environment) for environment in environments)
        }
    )


def wanted() -> list[Requirement]:
    """What the project itself asks for, with its own extras, all of which the image has."""
    extras = [line for lines in project().get("optional-dependencies", {}).values() for line in lines]
    return [Requirement(line) for line in (*project()["dependencies"], *extras)]


def exported(*arguments: str) -> str:
    """What the locked uv exports from uv.lock."""
    uv = Path(sys.executable).parent / "uv"
    command = [str(uv), "export", "--frozen", "--quiet", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def project() -> dict[str, Any]:
    """The table ``[project]`` of pyproject.toml."""
    table: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return table


def _python() -> tuple[int, int]:
    base = re.search(r"^ARG PYTHON_IMAGE=python:(\d+)\.(\d+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert base, "Dockerfile: the base image names no version of Python"
    return int(base[1]), int(base[2])


def _environment(machine: str) -> Environment:
    version = ".".join(map(str, _python()))
    return Environment(
        implementation_name="cpython",
        implementation_version=f"{version}.0",
        os_name="posix",
        platform_machine=machine,
        platform_python_implementation="CPython",
        platform_release="",
        platform_system="Linux",
        platform_version="",
        python_full_version=f"{version}.0",
        python_version=version,
        sys_platform="linux",
    )


def _tags(machine: str) -> Iterator[Tag]:
    platforms = [f"manylinux_2_{minor}_{machine}" for minor in range(_NEWEST_GLIBC, 4, -1)]
    platforms += [f"manylinux2014_{machine}", f"linux_{machine}"]
    python = _python()
    yield from cpython_tags(python, platforms=platforms)
    yield from compatible_tags(python, interpreter=f"cp{python[0]}{python[1]}", platforms=platforms)
