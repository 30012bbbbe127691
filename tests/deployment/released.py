"""A release as scripts/release makes it, from a clone of the tree under test."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.deployment.rendered import ROOT

AT = "1795831190"


@dataclass(frozen=True)
class Clone:
    """A repository of its own with one commit, of the files as they are in the tree."""

    root: Path

    @classmethod
    def of_the_tree(cls, root: Path) -> "Clone":
        """Copy what git knows or would take; changes that are not committed count too."""
        listed = _git(ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")
        for name in filter(None, listed):
            if not (ROOT / name).is_file():
                continue
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, root / name)
        clone = cls(root)
        clone.git("init", "--quiet")
        clone.commit()
        return clone

    def commit(self) -> None:
        """Commit everything, always at the same instant."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", "As it is")

    def git(self, *arguments: str) -> str:
        """What git says there."""
        return _git(self.root, *arguments)

    def release(self) -> subprocess.CompletedProcess[str]:
        """Run scripts/release there, on the environment of these tests."""
        command = [sys.executable, "-m", "scripts.programs.release"]
        env = os.environ | {"PYTHONPATH": str(self.root)}
        return subprocess.run(command, cwd=self.root, env=env, capture_output=True, text=True, check=False)

    @property
    def dist(self) -> Path:
        """Where the release is."""
        return self.root / "dist"


def _git(folder: Path, *arguments: str) -> str:
    person = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@example.org", "GIT_AUTHOR_DATE": f"{AT} +0000"}
    person |= {name.replace("AUTHOR", "COMMITTER"): value for name, value in person.items()}
    env = os.environ | person
    return subprocess.run(["git", *arguments], cwd=folder, env=env, capture_output=True, text=True, check=True).stdout
