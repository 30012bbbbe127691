"""What stands beside the packages: the dependencies by hash, the SBOM, the notices, the image's tag, the changes."""

from pathlib import Path

from scripts.programs.release.commit import Commit, ReleaseError
from scripts.programs.release.sums import digest
from scripts.programs.supply.__main__ import NOTICES, SBOM, documents
from scripts.programs.supply.licences import LicenceError
from scripts.programs.supply.shipped import ROOT, exported

_REQUIREMENTS = """\
# referral-dispatch {version} and what it was tested with, each held to its hashes. In the folder of this file:
#     pip install --require-hashes --requirement requirements.txt
"""


def papers(commit: Commit, wheel: Path) -> dict[str, str]:
    """File name to text.

    Raises:
      ReleaseError: SBOM or notices are not those of the lock file, or a licence is in the way.
    """
    try:
        made = documents()
    except LicenceError as error:
        raise ReleaseError(str(error)) from error
    for path, text in made.items():
        if (ROOT / path).read_text(encoding="utf-8") != text:
            raise ReleaseError(f"{path} is not what uv.lock says: run scripts/sbom")
    return {
        "requirements.txt": _requirements(commit, wheel),
        f"referral-dispatch-{commit.version}.cdx.json": made[SBOM],
        "third-party-notices.txt": made[NOTICES],
        "README.md": (ROOT / "README.md").read_text(encoding="utf-8"),
        "LICENSE": (ROOT / "LICENSE").read_text(encoding="utf-8"),
        "CHANGELOG.md": (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"),
        "image.txt": f"{commit.image}\n",
    }


def _requirements(commit: Commit, wheel: Path) -> str:
    locked = exported("--no-dev", "--all-extras", "--no-emit-project", "--no-header", "--no-annotate")
    own = f"./{wheel.name} \\\n    --hash=sha256:{digest(wheel)}\n"
    return _REQUIREMENTS.format(version=commit.version) + locked + own
