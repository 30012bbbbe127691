"""A golden export of every tool: real headers, made-up rows, its quirks. Each entry of the table must have one."""

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from worker.campaigns.containers.expand import expand
from worker.campaigns.containers.plain import PlainFile
from worker.campaigns.dedup import JobIndex
from worker.campaigns.importer import Importer, Reject
from worker.campaigns.options import ImportOptions
from worker.campaigns.presets.table import PRESETS

GOLDEN = Path(__file__).parent / "golden"


def read(name: str, place: Path, **options: Any) -> tuple[dict[str, Any], list[str]]:
    """What becomes of the golden exports of a preset, in the form of their `expected.json`, and the notes."""
    files = [PlainFile(path) for path in sorted((GOLDEN / name).iterdir()) if path.name != "expected.json"]
    asked = ImportOptions(shop="acme", campaign="spring", channel="whatsapp", rejects=place / "rejects.csv", **options)
    rejected: list[Reject] = []
    with JobIndex() as index:
        importer = Importer(files, asked, index=index, published_at=None, allowed_shops=None, on_reject=rejected.append)
        most = importer.count()
        jobs = sorted(importer, key=lambda job: (job.line or 0, job.customer.email or ""))
    assert len(jobs) <= most <= importer.rows
    assert importer.rows == len(jobs) + len(rejected)
    found = {
        "jobs": [
            {
                "line": job.line,
                "email": job.customer.email,
                "shopid": job.customer.shopid,
                "reference": job.reference,
            }
            for job in jobs
        ],
        "rejected": sorted([Path(reject.export).name, reject.line, reject.reason] for reject in rejected),
    }
    return found, list(importer.warnings)


@pytest.mark.parametrize("name", PRESETS)
def test_golden_export(tmp_path: Path, name: str) -> None:
    """The right rows become jobs with the right ids, the others are left out for the right reason."""
    found, notes = read(name, tmp_path)
    assert found == json.loads((GOLDEN / name / "expected.json").read_text())
    assert any(f"read as {name}, by " in note for note in notes)


@pytest.mark.parametrize("name", PRESETS)
def test_what_stays_out_of_a_rejects_file(tmp_path: Path, name: str) -> None:
    """The rejected rows, run again as they are, become no job: neither a status nor a suppression list is lost."""
    read(name, tmp_path)
    rejects = tmp_path / "rejects.csv"
    asked = ImportOptions(shop="acme", campaign="spring", channel="whatsapp", rejects=tmp_path / "again.csv")
    with JobIndex() as index:
        importer = Importer([PlainFile(rejects)], asked, index=index, published_at=None, allowed_shops=None)
        jobs = list(importer)
    reasons = [reason for _, _, reason in json.loads((GOLDEN / name / "expected.json").read_text())["rejected"]]
    # Alone, the copy of a row is no duplicate any more.
    assert len(jobs) == reasons.count("duplicate_row")
    assert importer.rejected.total() == len(reasons) - len(jobs)


def test_mailchimps_zip(tmp_path: Path) -> None:
    """The files of a zip are told apart by their names in it; what lies in its rejects file stays out as well."""
    archive = tmp_path / "audience_export.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted((GOLDEN / "mailchimp").glob("*.csv")):
            file.write(path, f"audience_export/{path.name}")
            file.writestr(f"__MACOSX/audience_export/._{path.name}", b"not an export")
    asked = ImportOptions(shop="acme", campaign="spring", channel="whatsapp")
    for argument, emails in ((archive, ["ann@example.com", "ben@example.com"]), (Path(f"{archive}.rejects.csv"), [])):
        with JobIndex() as index:
            files = expand([argument], pytest.fail)
            importer = Importer(files, asked, index=index, published_at=None, allowed_shops=None)
            assert [job.customer.email for job in importer] == emails
        assert importer.rejected == {"unsubscribed": 1, "suppressed": 1, "no_consent": 1, "no_customer": 1}


def test_every_golden_export_is_of_a_preset() -> None:
    """No folder is forgotten when a preset is renamed."""
    assert {folder.name for folder in GOLDEN.iterdir()} == set(PRESETS)
