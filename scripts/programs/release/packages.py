"""Wheel and sdist, from what git has and nothing else."""

import os
import subprocess
import sys
import tarfile
from pathlib import Path

from scripts.programs.release.commit import Commit, ReleaseError
from scripts.programs.supply.shipped import ROOT


def packages(commit: Commit, folder: Path) -> tuple[Path, Path]:
    """The wheel and the sdist, below a folder of the caller's.

    The wheel is made twice, from the commit and from the sdist: whoever builds from the sdist gets the same bytes.

    Raises:
      ReleaseError: they differ, or a build fails.
    """
    tree, unpacked = folder / "tree", folder / "unpacked"
    archive = folder / "commit.tar"
    with archive.open("wb") as file:
        subprocess.run(["git", "archive", "--format=tar", commit.id], cwd=ROOT, stdout=file, check=True)
    with tarfile.open(archive) as packed:
        packed.extractall(tree, filter="data")
    (sdist,) = _build("sdist", tree, folder / "sdist", commit)
    (wheel,) = _build("wheel", tree, folder / "wheel", commit)
    with tarfile.open(sdist) as packed:
        packed.extractall(unpacked, filter="data")
    (top,) = unpacked.iterdir()
    (again,) = _build("wheel", top, folder / "again", commit)
    if (again.name, again.read_bytes()) != (wheel.name, wheel.read_bytes()):
        raise ReleaseError(f"{sdist.name} builds another {wheel.name} than the commit does")
    return wheel, sdist


def _build(target: str, tree: Path, into: Path, commit: Commit) -> list[Path]:
    # By the hatchling of .venv, which the lock file holds to its hash: no index is asked.
    command = [sys.executable, "-m", "hatchling", "build", "--target", target, "--directory", str(into)]
    env = os.environ | {"SOURCE_DATE_EPOCH": str(commit.at), "PYTHONPATH": ""}
    done = subprocess.run(command, cwd=tree, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ReleaseError(f"the {target} can't be built:\n{done.stdout}{done.stderr}")
    return list(into.iterdir())
