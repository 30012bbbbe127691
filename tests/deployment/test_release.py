"""What scripts/release makes, what it refuses, and that its README's first steps need nothing of the repository."""

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.deployment.released import Clone
from tests.deployment.rendered import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
VERSION = PROJECT["version"]


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A repository whose release was made."""
    made = Clone.of_the_tree(tmp_path_factory.mktemp("clone"))
    done = made.release()
    assert done.returncode == 0, done.stdout + done.stderr
    return made


@pytest.fixture
def again(clone: Clone) -> Iterator[Clone]:
    """The same, brought back to its commit and rid of its tags after the test."""
    before = clone.git("rev-parse", "HEAD").strip()
    yield clone
    clone.git("reset", "--quiet", "--hard", before)
    for tag in clone.git("tag").split():
        clone.git("tag", "--delete", tag)


def names_in(wheel_or_sdist: Path) -> set[str]:
    """The files of a package; those of an sdist without the folder that they are in."""
    if wheel_or_sdist.suffix == ".whl":
        return set(zipfile.ZipFile(wheel_or_sdist).namelist())
    with tarfile.open(wheel_or_sdist) as packed:
        assert all(member.isfile() for member in packed)
        return {name.partition("/")[2] for name in packed.getnames()}


def package(clone: Clone, pattern: str) -> Path:
    """The one file of the release that fits."""
    (found,) = clone.dist.glob(pattern)
    return found


def test_the_version_is_in_one_place() -> None:
    """Every file that names a version of ours names pyproject.toml's, and so do the command, SBOM and lock file."""
    command = ["git", "grep", "--untracked", "-hIoE", r"(referral-dispatch:|image.version=\"|newTag: )[0-9][0-9a-z.]*"]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\n")[:-1]
    assert {re.split('[:="]+ ?', name)[1] for name in found} == {VERSION}
    assert len(found) > 5
    assert re.findall(r"^## (\S+), ", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)[0] == VERSION
    assert json.loads((ROOT / "docs" / "sbom.json").read_text())["metadata"]["component"]["version"] == VERSION
    locked = tomllib.loads((ROOT / "uv.lock").read_text(encoding="utf-8"))["package"]
    assert [each["version"] for each in locked if each["name"] == PROJECT["name"]] == [VERSION]
    assert version(PROJECT["name"]) == VERSION


def test_its_files_are_those_that_its_checksums_list(clone: Clone) -> None:
    """sha256sum finds each file as it is listed, and no file is left out."""
    done = subprocess.run(
        ["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=clone.dist, capture_output=True, text=True, check=True
    )
    assert {line.partition(": ")[0] for line in done.stdout.splitlines()} == {
        *("CHANGELOG.md", "LICENSE", "README.md", "image.txt", "requirements.txt", "third-party-notices.txt"),
        f"referral-dispatch-{VERSION}.cdx.json",
        f"referral_dispatch-{VERSION}-py3-none-any.whl",
        f"referral_dispatch-{VERSION}.tar.gz",
    }
    assert (clone.dist / "image.txt").read_text() == f"referral-dispatch:{VERSION}\n"


def test_the_same_commit_makes_the_same_bytes(clone: Clone) -> None:
    """Made again, of files that are newer and narrower, by a user with another umask, with a cache in the way."""
    before = (clone.dist / "SHA256SUMS").read_text()
    cache = clone.root / "worker" / "__pycache__"
    cache.mkdir(exist_ok=True)
    (cache / "left.cpython-311.pyc").write_bytes(b"left")
    for path in (clone.root / "worker").rglob("*.lua"):
        path.chmod(0o600)
        os.utime(path)
    umask = os.umask(0o077)
    try:
        done = clone.release()
    finally:
        os.umask(umask)
    assert done.returncode == 0, done.stderr
    assert (clone.dist / "SHA256SUMS").read_text() == before


def test_the_packages_hold_what_git_has_and_no_more(clone: Clone) -> None:
    """The wheel has what the package reads at run time, and no test or tool; with the sdist every file is at hand that
    README and the docs name. No cache or key is in either.
    """
    tracked = set(clone.git("ls-files").split("\n")) - {""}
    read = {name for name in tracked if name.startswith("worker/")}
    assert {Path(name).suffix for name in read} > {".lua", ".j2", ".typed"}
    wheel = names_in(package(clone, "*.whl"))
    assert {name for name in wheel if ".dist-info/" not in name} == read
    assert names_in(package(clone, "*.tar.gz")) == tracked | {"PKG-INFO"}


def test_a_changed_tree_is_refused(again: Clone) -> None:
    """What isn't committed can't be made again; a file that git doesn't know counts."""
    (again.root / "worker" / "left.py").write_text("")
    done = again.release()
    (again.root / "worker" / "left.py").unlink()
    assert (done.returncode, done.stderr) == (1, "scripts/release: commit what is changed first: worker/left.py\n")


def test_a_version_without_its_changes_is_refused(again: Clone) -> None:
    """CHANGELOG.md must have a section of that very version."""
    path = again.root / "CHANGELOG.md"
    path.write_text(path.read_text().replace(f"## {VERSION},", f"## {VERSION}.1,"))
    again.commit()
    done = again.release()
    assert (done.returncode, done.stderr) == (1, f"scripts/release: CHANGELOG.md has no section of {VERSION}\n")


@pytest.mark.parametrize("kind", [["--no-sign"], ["--annotate", "--message", "released"]], ids=["plain", "annotated"])
def test_a_tag_of_another_commit_is_refused(again: Clone, kind: list[str]) -> None:
    """What was released under a version stays what that version is."""
    again.git("tag", *kind, f"v{VERSION}")
    (again.root / "worker" / "more.py").write_text("")
    again.commit()
    done = again.release()
    assert done.returncode == 1
    assert done.stderr.startswith(f"scripts/release: v{VERSION} is the tag of another commit, ")


def test_a_tagged_release_has_its_date(again: Clone) -> None:
    """A tagged commit whose section of changes has no date is refused."""
    path = again.root / "CHANGELOG.md"
    path.write_text(
        re.sub(rf"^## {re.escape(VERSION)}, .*$", f"## {VERSION}, unreleased", path.read_text(), flags=re.M)
    )
    again.git("add", "--all")
    again.git("commit", "--quiet", "--allow-empty", "--message", "Not yet")
    again.git("tag", f"v{VERSION}")
    done = again.release()
    assert done.returncode == 1
    assert done.stderr.startswith(f"scripts/release: v{VERSION} is tagged, but CHANGELOG.md says 'unreleased' where")


def test_the_first_steps_of_the_readme_need_the_release_alone(clone: Clone, tmp_path: Path) -> None:
    """Check, install by hashes, and rehearse in an empty folder, then a sample of the source: no file of the repository
    is there to be read.
    """
    uv = Path(sys.executable).parent / "uv"
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    section = readme.partition("\n## Install\n")[2].partition("\n## ")[0]
    install, rehearse, unpack = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    (sample,) = re.findall(r"^referrals run scripts/samples/.* --sandbox$", readme, re.MULTILINE)
    # uv in place of venv and pip: it has the same wheels in its cache.
    install = install.replace("python3 -m venv ", f"{uv} venv --quiet --python {sys.executable} ")
    install = install.replace("pip install ", f"{uv} pip install --quiet ")
    home, empty, source = tmp_path / "home", tmp_path / "empty", tmp_path / "source"
    for folder in (home, empty, source):
        folder.mkdir()
    shutil.copy(package(clone, "*.tar.gz"), source)
    cache = subprocess.run([uv, "cache", "dir"], capture_output=True, text=True, check=True).stdout.strip()
    env = {"HOME": str(home), "PATH": "/usr/bin:/bin", "UV_CACHE_DIR": cache}
    env |= {name: value for name, value in os.environ.items() if name.startswith(("UV_", "SSL_"))}
    # Where no folder named worker is, which would be imported in its place.
    where = f"cd {empty}; python -c 'import worker; print(worker.__file__)'"
    command = ["bash", "-euc", f"{install}cd {empty}\n{rehearse}cd {source}\n{unpack}{sample}\n{where}"]
    done = subprocess.run(command, cwd=clone.dist, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"referrals {VERSION}\n" in done.stdout
    assert re.findall(r"^sent +(\d+)$", done.stdout, re.MULTILINE)[0] == "2"
    assert len(re.findall(r"^results are in", done.stdout, re.MULTILINE)) == 2
    assert done.stdout.splitlines()[-1].startswith(str(home))
    assert {path.name for path in empty.iterdir()} == {"first.csv", "first-results.csv", "first-results.csv.journal"}
