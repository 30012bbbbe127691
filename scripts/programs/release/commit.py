"""The commit that is checked out, and whether it may become a release."""

import re
import subprocess
from dataclasses import dataclass

from scripts.programs.supply.shipped import ROOT, project


class ReleaseError(Exception):
    """Why no release can be made, in one line."""


@dataclass(frozen=True)
class Commit:
    """A commit by its id, with its instant in seconds and the version that it says it is."""

    id: str
    at: int
    version: str

    @property
    def image(self) -> str:
        """The name and tag that its image carries."""
        return f"{project()['name']}:{self.version}"


def releasable() -> Commit:
    """The commit that is checked out.

    Raises:
      ReleaseError: the tree has changes, CHANGELOG.md has no section of the version, or its tag says otherwise.
    """
    changed = git("status", "--porcelain").splitlines()
    if changed:
        raise ReleaseError(f"commit what is changed first: {changed[0][3:]}{', …' if changed[1:] else ''}")
    commit = Commit(git("rev-parse", "HEAD"), int(git("log", "-1", "--format=%ct")), project()["version"])
    section = re.search(
        rf"^## {re.escape(commit.version)}, (.*)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    if section is None:
        raise ReleaseError(f"CHANGELOG.md has no section of {commit.version}")
    tagged = git(
        "tag", "--list", "--format=%(if)%(*objectname)%(then)%(*objectname)%(else)%(objectname)%(end)", tag(commit)
    )
    if tagged and tagged != commit.id:
        raise ReleaseError(
            f"{tag(commit)} is the tag of another commit, {tagged[:10]}: a changed release needs a new version"
        )
    if tagged and not re.fullmatch(r"\d{4}-\d\d-\d\d", section[1]):
        raise ReleaseError(f"{tag(commit)} is tagged, but CHANGELOG.md says {section[1]!r} where its date should stand")
    return commit


def tag(commit: Commit) -> str:
    """The name of a release's tag."""
    return f"v{commit.version}"


def git(*arguments: str) -> str:
    """What git says of the repository, without the last newline."""
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ReleaseError(f"git {arguments[0]}: {done.stderr.strip()}")
    return done.stdout.removesuffix("\n")
