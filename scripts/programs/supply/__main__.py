"""``scripts/sbom``: write what is made from the lock file, or compare it with ``--check``."""

import sys

from scripts.programs.supply.bom import bom
from scripts.programs.supply.licences import LicenceError
from scripts.programs.supply.notices import notices
from scripts.programs.supply.shipped import ROOT, exported, shipped

SBOM = "docs/sbom.json"
NOTICES = "docs/third-party-notices.txt"
BUILD = "scripts/build-requirements.txt"

_BUILD_HEADER = """\
# What builds the image and .venv, held to its hashes. Made by scripts/sbom from the group `build` in uv.lock.
"""


def documents() -> dict[str, str]:
    """Path in the repository to text.

    Raises:
      LicenceError: a part's licence is unknown, or may not be shipped.
    """
    parts = shipped()
    group = ("--only-group", "build", "--no-emit-project", "--format", "requirements.txt", "--no-header")
    return {
        SBOM: bom(parts),
        NOTICES: notices(parts),
        BUILD: _BUILD_HEADER + exported(*group, "--no-annotate"),
    }


def main() -> int:
    """0; 1 with a line for each file that is not current, or for the licence that is in the way."""
    try:
        made = documents()
    except LicenceError as error:
        print(f"scripts/sbom: {error}", file=sys.stderr)
        return 1
    stale = [path for path, text in made.items() if not (ROOT / path).exists() or (ROOT / path).read_text() != text]
    for path in stale:
        if "--check" in sys.argv[1:]:
            print(f"{path} is not what uv.lock says: run scripts/sbom", file=sys.stderr)
        else:
            (ROOT / path).write_text(made[path])
            print(path)
    return 1 if stale and "--check" in sys.argv[1:] else 0


if __name__ == "__main__":
    sys.exit(main())
