"""``referrals report --conversions``: what came of a campaign's referrals, asked of the shops."""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.commands import Desk

OPTIONS = ("--campaign", "spring", "--channel", "whatsapp")
CUSTOMERS = 30


@pytest.fixture
def sent(tmp_path: Path) -> Iterator[Desk]:
    """A desk without RabbitMQ and store, whose campaign was sent to a sandbox where every link is accepted."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("REFERRALS_", "PROMETHEUS_"))}
    desk = Desk(tmp_path, clean)
    desk.write_export("spring.csv", [{"customer_shopid": str(number)} for number in range(CUSTOMERS)])
    desk.write_shops("http://127.0.0.1:1", ["acme"])
    sandbox = desk.start_sandbox("--shops", "shops.toml", "--accepted", "100")
    desk.write_shops(sandbox.url, ["acme"])
    ran = desk.run("run", "spring.csv", "--shop", "acme", *OPTIONS, "--out", "results.csv")
    assert ran.returncode == 0, ran.stderr
    yield desk
    desk.close()


def test_conversions_are_on_the_page_and_in_the_figures(sent: Desk) -> None:
    """The shop's history tells the rewards; the page's table by day adds up to the totals, and says who was asked."""
    reported = sent.run("report", "spring", "--from", "results.csv", "--out", "report.html", "--conversions", "--json")
    assert reported.returncode == 0, reported.stderr
    told = json.loads(reported.stdout)["conversions"]
    assert told["asked"] == {"acme": "ListHistory1"}
    assert told["totals"]["accepted"] == told["totals"]["rewarded"] > 0
    assert sum(day["rewarded"] for day in told["days"]) == told["totals"]["rewarded"]
    page = (sent.folder / "report.html").read_text()
    assert f"{told['totals']['accepted']} accepted" in page
    assert "which lists rewards" in page
    table = page[page.index('<table id="conversions">') :].partition("</table>")[0]
    shown = [int(cell) for cell in re.findall(r"<td class=\"n\">(\d+)</td>", table)]
    assert shown == [day[step] for day in told["days"] for step in ("accepted", "qualified", "rewarded")]


def test_a_shop_that_is_gone_doesn_t_cost_the_page(sent: Desk) -> None:
    """The page is written with everything else, and says which shop could not be asked; nobody is, unasked."""
    sent.write_shops("http://127.0.0.1:1", ["other"])
    reported = sent.run("report", "spring", "--from", "results.csv", "--out", "report.html", "--conversions")
    assert reported.returncode == 0, reported.stderr
    assert re.search(r"^accepted +0$", reported.stdout, re.MULTILINE)
    assert "note: shop acme: is not in " in reported.stderr
    assert "shop acme: is not in" in (sent.folder / "report.html").read_text()
    (sent.folder / "shops.toml").write_text("no shops file")
    refused = sent.run("report", "spring", "--from", "results.csv", "--out", "other.html", "--conversions")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.startswith("referrals: ")
    assert refused.stderr.count("\n") == 1
    assert sent.run("report", "spring", "--from", "results.csv", "--out", "other.html").returncode == 0
