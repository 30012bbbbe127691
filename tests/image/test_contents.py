"""What the image adds to its base."""

import json
import os
import stat
import struct
from collections.abc import Iterator
from importlib.metadata import PathDistribution, distributions
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from tests.deployment.rendered import ROOT
from tests.image.conftest import Image

WRITABLE = {"var/lib/referrals", "run/referrals/metrics"}

ADDED = {"opt/referrals", "usr/share/doc/referral-dispatch", "run/referrals", "var/lib/referrals"}


def walk(root: Path) -> Iterator[str]:
    """Every path below ``root``, relative to it."""
    for folder, folders, files in os.walk(root):
        for name in (*folders, *files):
            yield str((Path(folder) / name).relative_to(root))


@pytest.fixture(scope="session")
def added(image: Image) -> set[str]:
    """The paths that the base doesn't have, or has with another content or mode."""

    def facts(root: Path, path: str) -> tuple[int, int, int, int]:
        status = (root / path).lstat()
        size = 0 if stat.S_ISDIR(status.st_mode) else status.st_size
        return status.st_mode, status.st_uid, status.st_gid, size

    base = {path: facts(image.base, path) for path in walk(image.base)}
    # The folder that containers mount the shops' file into.
    return {path for path in walk(image.root) if base.get(path) != facts(image.root, path)} - {"etc/referrals"}


@pytest.fixture(scope="session")
def parts(image: Image) -> list[PathDistribution]:
    """The Python packages in it."""
    (packages,) = (image.root / "opt" / "referrals" / "lib").glob("python*/site-packages")
    return [each for each in distributions(path=[str(packages)]) if isinstance(each, PathDistribution)]


def test_it_adds_its_own_folders_alone(added: set[str]) -> None:
    """The base is as it was: no cache, no source, no tool is left by the build."""
    assert added >= ADDED
    assert {path for path in added if not any(f"{path}/".startswith(f"{each}/") for each in ADDED)} == set()


def test_it_has_neither_tools_nor_secrets(image: Image, added: set[str]) -> None:
    """No compiler, no installer, no test and no key: certificates of authorities are all that looks like one."""
    names = {Path(path).name for path in added}
    assert names.isdisjoint({"gcc", "cc", "ld", "make", "git", "pip", "uv", "hatchling", "pytest", ".git", ".cache"})
    assert not [path for path in added if path.endswith((".key", ".env", ".o", ".a"))]
    assert [path for path in added if path.endswith(".pem") and not path.endswith("/certifi/cacert.pem")] == []
    assert not [name for name in image.env if name.endswith(("KEY", "TOKEN", "PASSWORD", "SECRET", "URL"))]


def test_nobody_but_root_may_change_it(image: Image, added: set[str]) -> None:
    """All is root's and readable by all, no file takes rights, and two folders alone are the user's."""
    for path in added - WRITABLE:
        status = (image.root / path).lstat()
        assert (status.st_uid, status.st_gid) == (0, 0), path
        if not stat.S_ISLNK(status.st_mode):
            assert status.st_mode & 0o6022 == 0, path
            assert status.st_mode & 0o004, path
    for path in WRITABLE:
        status = (image.root / path).stat()
        assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (10001, 0, 0o775), path


def test_its_parts_are_those_of_the_sbom(parts: list[PathDistribution]) -> None:
    """What is installed is what docs/sbom.json lists, and the project itself: nothing more or less."""
    listed = json.loads((ROOT / "docs" / "sbom.json").read_text(encoding="utf-8"))
    own = listed["metadata"]["component"]
    assert {(canonicalize_name(each.name), each.version) for each in parts} == {
        (part["name"], part["version"]) for part in (*listed["components"], own)
    }


def test_licences_are_kept(image: Image, parts: list[PathDistribution]) -> None:
    """Of every part by its text in the notices, of the project by LICENSE."""
    kept = image.root / "usr" / "share" / "doc" / "referral-dispatch"
    notices = (kept / "third-party-notices.txt").read_text(encoding="utf-8")
    assert (kept / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()
    for part in parts:
        if part.name != "referral-dispatch":
            assert f"\n{canonicalize_name(part.name)} {part.version}: " in notices


def test_it_keeps_its_own_bytecode(image: Image) -> None:
    """On a read-only root nobody could write it later, and each start would compile for a second.

    Python takes bytecode whose header has the second and the size of its source.
    """
    (packages,) = (image.root / "opt" / "referrals" / "lib").glob("python*/site-packages")
    assert (packages / "worker" / "store" / "redis" / "lua" / "admit.lua").exists()
    compiled = {}
    for path in packages.rglob("*.pyc"):
        source = path.parent.parent / f"{path.name.split('.')[0]}.py"
        compiled[source] = struct.unpack("<III", path.read_bytes()[4:16])
    for source, header in compiled.items():
        status = source.stat()
        assert header == (0, int(status.st_mtime), status.st_size), source
    assert {*(packages / "worker").rglob("*.py")} <= {*compiled}
