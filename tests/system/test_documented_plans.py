"""The plans that README.md and docs/campaigns.md show are what the commands there say."""

import os
import re
import shlex
import shutil
from pathlib import Path

import pytest

from tests.system.commands import Desk

ROOT = Path(__file__).parents[2]
KLAVIYO = ROOT / "tests" / "unit" / "campaigns" / "presets" / "golden" / "klaviyo" / "klaviyo_list.csv"


@pytest.mark.parametrize("page", ["README.md", "docs/campaigns.md"])
def test_a_documented_plan_is_true(tmp_path: Path, page: str) -> None:
    """Every line of the transcript, but for the date, with the page's own shops file."""
    text = (ROOT / page).read_text()
    (shops,) = re.findall(r"```toml\n(\[shops\.acme\].*?)```", text, re.DOTALL)
    ((command, shown),) = re.findall(r"```console\n\$ referrals (plan .*?)\n(.*?)```", text, re.DOTALL)
    (tmp_path / "shops.toml").write_text(shops)
    (tmp_path / "scripts" / "samples").mkdir(parents=True)
    shutil.copy(ROOT / "scripts" / "samples" / "shopify.csv", tmp_path / "scripts" / "samples")
    shutil.copy(KLAVIYO, tmp_path)
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("REFERRALS_", "PROMETHEUS_"))}

    done = Desk(tmp_path, clean | {"TZ": "UTC"}).run(*shlex.split(command))

    assert done.returncode == 0, done.stderr
    assert undated(done.stderr + done.stdout) == undated(shown)


def undated(text: str) -> str:
    """The text without its dates and times."""
    return re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d", "DATE", text)
