"""``scripts/release``: make dist/ of the commit that is checked out, or say in one line why not."""

import shutil
import sys
import tempfile
from pathlib import Path

from scripts.programs.release.commit import Commit, ReleaseError, releasable
from scripts.programs.release.packages import packages
from scripts.programs.release.papers import papers
from scripts.programs.release.sums import sums
from scripts.programs.supply.shipped import ROOT

DIST = ROOT / "dist"


def main() -> int:
    """0, or 1 with the reason."""
    try:
        commit = releasable()
        with tempfile.TemporaryDirectory() as folder:
            _make(commit, Path(folder))
    except ReleaseError as error:
        print(f"scripts/release: {error}", file=sys.stderr)
        return 1
    for path in sorted(DIST.iterdir()):
        print(path.relative_to(ROOT))
    return 0


def _make(commit: Commit, folder: Path) -> None:
    made = folder / "made"
    made.mkdir()
    wheel, sdist = packages(commit, folder)
    for path in (wheel, sdist):
        shutil.copy(path, made)
    for name, text in papers(commit, made / wheel.name).items():
        (made / name).write_text(text, encoding="utf-8")
    (made / "SHA256SUMS").write_text(sums(made), encoding="utf-8")
    shutil.rmtree(DIST, ignore_errors=True)
    shutil.copytree(made, DIST)


if __name__ == "__main__":
    sys.exit(main())
