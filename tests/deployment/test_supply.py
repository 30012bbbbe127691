"""What the image is made of, and on what terms: the files that scripts/sbom makes are current and complete."""

import json
from importlib.metadata import PathDistribution, distribution
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from scripts.programs.supply.__main__ import NOTICES, SBOM, documents
from scripts.programs.supply.licences import LicenceError, check, licence_of
from tests.deployment.rendered import ROOT


def read(path: str) -> str:
    """A file of the repository."""
    return (ROOT / path).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def sbom() -> dict[str, Any]:
    """The SBOM as it is committed."""
    listed: dict[str, Any] = json.loads(read(SBOM))
    return listed


def test_they_are_current() -> None:
    """SBOM, notices and build requirements are what the lock file makes now."""
    for path, text in documents().items():
        assert read(path) == text, f"run scripts/sbom for {path}"


def test_the_sbom_is_cyclonedx() -> None:
    """The schema of CycloneDX 1.6 takes it, without a field that it doesn't know."""
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(read(SBOM)) is None


def test_every_part_has_a_place_a_licence_and_a_hash(sbom: dict[str, Any]) -> None:
    """Each part can be found by its purl and checked by its hashes, those compiled into another one too."""
    for part in sbom["components"]:
        assert part["purl"] == f"pkg:pypi/{part['name']}@{part['version']}"
        assert part["licenses"]
        assert all(wheel["hashes"] for wheel in part["externalReferences"])
    compiled = [each for part in sbom["components"] for each in part.get("components", ())]
    assert compiled
    assert all(each["purl"] and each["licenses"] for each in compiled)


def test_every_part_is_there_for_another(sbom: dict[str, Any]) -> None:
    """Whoever follows the dependencies from the project on meets every part: none is listed without its reason."""
    asked = {each["ref"]: each.get("dependsOn", []) for each in sbom["dependencies"]}
    met, ahead = set(), [sbom["metadata"]["component"]["bom-ref"]]
    while ahead:
        ref = ahead.pop()
        if ref not in met:
            met.add(ref)
            ahead += asked[ref]
    assert met >= {part["bom-ref"] for part in sbom["components"]}


def test_the_notices_hold_each_part_with_its_text(sbom: dict[str, Any]) -> None:
    """Each part stands in the table and above the text that it brings."""
    text = read(NOTICES)
    for part in sbom["components"]:
        assert f"\n{part['name']} " in text
        assert f"\n{part['name']} {part['version']}: " in text


@pytest.mark.parametrize(
    "expression", ["GPL-3.0-only", "MIT AND AGPL-3.0-only", "GPL-2.0-only WITH Classpath-exception-2.0", "Proprietary"]
)
def test_a_licence_that_nobody_has_allowed_is_refused(expression: str) -> None:
    """The script fails, and names the part and the licence."""
    with pytest.raises(LicenceError, match=r"^somepart: ") as refused:
        check("somepart", expression)
    assert expression in str(refused.value)


@pytest.mark.parametrize("expression", ["MIT OR GPL-3.0-only", "(MIT OR GPL-2.0-only) AND BSD-3-Clause"])
def test_of_several_licences_one_is_enough(expression: str) -> None:
    """Where a part may be had under either licence, the one that is allowed is taken."""
    check("somepart", expression)


def test_metadata_older_than_spdx_is_understood_or_refused(tmp_path: Path) -> None:
    """A classifier is translated where it leaves no doubt; a part that names no licence is refused by its name."""
    assert licence_of(distribution("dramatiq")) == "LGPL-3.0-or-later"
    (tmp_path / "METADATA").write_text("Metadata-Version: 2.1\nName: unlicensed\nVersion: 1\nLicense: see website\n")
    with pytest.raises(LicenceError, match=r"^unlicensed: "):
        licence_of(PathDistribution(tmp_path))
