"""What a plan says of the workers that it counts with."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.unit.making import make_shop
from worker.campaigns.containers.plain import PlainFile
from worker.campaigns.options import ImportOptions
from worker.cli.plan.making import Campaign, make_plan
from worker.cli.plan.outlook import Outlook
from worker.planning.circumstances import Shop, Workers

CLOSED = "1 worker process calls nobody, on web-1: REFERRALS_SUPPRESSION_KEY is unset"


@pytest.mark.parametrize(
    ("processes", "closed", "remarks"),
    [
        (0, [], ["no worker takes these shops' jobs at present; it is counted with one"]),
        (0, [CLOSED], [CLOSED, "the plan is counted with one worker that calls"]),
        (1, [CLOSED], [CLOSED]),
        (1, [], []),
    ],
)
def test_why_nobody_takes_the_jobs(tmp_path: Path, processes: int, closed: Sequence[str], remarks: list[str]) -> None:
    """Workers without the key take none either, and whoever starts another one like them has gained nothing."""
    export, acme = tmp_path / "export.csv", make_shop()
    export.write_text("customer_email,channel\nann@example.com,sms\n")
    outlook = Outlook({"acme": Shop(acme.limits)}, processes, closed)
    options = ImportOptions("acme", "spring")
    plan, _ = make_plan(Campaign([PlainFile(export)], options, {"acme": acme}, lambda _: outlook, Workers()))
    assert plan.remarks == remarks
