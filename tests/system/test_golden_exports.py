"""The golden export of every tool, from the files that the tool gives to the calls that the sandbox gets."""

import csv
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.services import wait_until
from tests.system.commands import Desk

GOLDEN = Path(__file__).parents[1] / "unit" / "campaigns" / "presets" / "golden"
TOOLS = sorted(folder.name for folder in GOLDEN.iterdir())

Person = tuple[str, str]
"""A customer's address and shop id, empty where there is none."""


def exports_of(tool: str) -> list[str]:
    """The files that the tool gives, as arguments."""
    return [str(path) for path in sorted((GOLDEN / tool).iterdir()) if path.name != "expected.json"]


def expected(tool: str) -> dict[str, Any]:
    """What the golden file says: `jobs`, and `rejected` as name, line and reason."""
    told: dict[str, Any] = json.loads((GOLDEN / tool / "expected.json").read_text())
    return told


def people_of(rows: list[dict[str, Any]], email: str, shopid: str) -> Counter[Person]:
    """The customers of rows, by the names of two columns."""
    return Counter((row.get(email) or "", row.get(shopid) or "") for row in rows)


def reasons_in(path: Path) -> Counter[str]:
    """The rows of a rejects file by reason."""
    with path.open(newline="") as file:
        return Counter(row[1] for row in list(csv.reader(file))[1:])


def test_every_tool_through_plan_publish_and_the_sandbox(desk: Desk) -> None:
    """The plan counts the right rows, the sandbox is called for the right people once each, and for nobody else."""
    desk.write_shops("http://127.0.0.1:9", TOOLS)
    sandbox = desk.start_sandbox("--shops", "shops.toml")
    desk.write_shops(sandbox.url, TOOLS)
    for tool in TOOLS:
        rejected = Counter(reason for _, _, reason in expected(tool)["rejected"])
        campaign = [*exports_of(tool), "--shop", tool, "--campaign", "spring", "--channel", "whatsapp", "--json"]
        planned = desk.run("plan", *campaign)
        assert planned.returncode == 0, planned.stderr
        plan = json.loads(planned.stdout)
        assert (plan["jobs"], plan["rejected"]) == (len(expected(tool)["jobs"]), rejected), tool
        assert tool in {read["preset"] for read in plan["exports"]}
        # The rows of a suppression list are none of the campaign's.
        rows = [read["rows"] for read in plan["exports"] if read["preset"] != "hubspot-suppressions"]
        assert plan["rows"] == sum(rows) == plan["jobs"] + rejected.total()

        published = desk.run("publish", *campaign, "--rejects", f"{tool}.rejects.csv")
        assert published.returncode == 0, published.stderr
        summary = json.loads(published.stdout)
        assert (summary["rows"], summary["published"], summary["rejected"]) == (plan["rows"], plan["jobs"], rejected)
        written = desk.folder / f"{tool}.rejects.csv"
        assert (reasons_in(written) if written.exists() else Counter()) == rejected

    desk.start("work", "--threads", "8")
    jobs = {tool: expected(tool)["jobs"] for tool in TOOLS}
    wait_until(lambda: len(sandbox.calls()) >= sum(map(len, jobs.values())), 60, "all calls")
    collected = desk.run("collect", "--out", "results.csv", "--until-idle", "2")
    assert collected.returncode == 0, collected.stderr
    calls, results = sandbox.calls(), desk.results()
    for tool in TOOLS:
        bodies = [call["body"]["customer"] for call in calls if call["shop"] == tool]
        of_tool = [result for result in results if result["shop"] == tool]
        right = people_of(jobs[tool], "email", "shopid")
        assert people_of(bodies, "email", "shopid") == right, tool
        assert people_of(of_tool, "customer_email", "customer_shopid") == right, tool
        assert Counter(result["reference"] for result in of_tool) == Counter(
            job["reference"] or "" for job in jobs[tool]
        )


@pytest.mark.parametrize("tool", TOOLS)
def test_every_tool_through_a_rehearsal(desk: Desk, tool: str) -> None:
    """`run --sandbox` sends for the right people with the right ids, and writes the others with their reasons."""
    ran = desk.run(
        "run",
        *exports_of(tool),
        *("--campaign", "spring", "--channel", "whatsapp", "--sandbox", "--json"),
        *("--out", "results.csv", "--rejects", "rejects.csv"),
    )
    assert ran.returncode == 0, ran.stderr
    rejected = Counter(reason for _, _, reason in expected(tool)["rejected"])
    assert json.loads(ran.stdout)["rejected"] == rejected
    assert (reasons_in(desk.folder / "rejects.csv") if rejected else Counter()) == rejected
    people = people_of(desk.results(), "customer_email", "customer_shopid")
    assert people == people_of(expected(tool)["jobs"], "email", "shopid")
