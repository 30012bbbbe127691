"""``referrals plan --match``: what it predicts is what a run then gets, and it calls nobody."""

import json
import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.commands import Desk
from tests.system.terminal import Terminal

OPTIONS = ("--campaign", "spring", "--channel", "whatsapp")
UNKNOWN = "no_customers_match_customer_identity"
MISMATCH = "customer_identity_partially_mismatches_matched_customer"


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Desk]:
    """A desk without RabbitMQ and store."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("REFERRALS_", "PROMETHEUS_"))}
    desk = Desk(tmp_path, clean)
    yield desk
    desk.close()


def write_customers(desk: Desk, number: int) -> None:
    rows = (f"B{one},{one:06},Customer-{one}@example.com\n" for one in range(number))
    (desk.folder / "customers.csv").write_text("bhid,shopid,email\n" + "".join(rows))


def write_campaign(desk: Desk) -> None:
    """Rows of two shops: of each kind of id, alone and together, right, unknown and mixed up."""
    identities = [
        ("B7", "", ""),
        ("", "000008", ""),
        ("", "", "customer-9@example.com"),
        ("B10", "000010", "CUSTOMER-10@example.com"),
        ("b11", "", ""),
        ("", "12x", ""),
        ("", "", "nobody@example.com"),
        ("B13", "000014", ""),
        ("", "000015", "customer-16@example.com"),
        ("B17", "000017", "nobody@example.com"),
    ]
    rows = [
        {"shop": shop, "customer_bhid": bhid, "customer_shopid": shopid, "customer_email": email}
        for shop in ("acme", "other")
        for bhid, shopid, email in identities
    ]
    desk.write_export("spring.csv", rows)


def test_predictions_are_what_a_run_then_gets(alone: Desk) -> None:
    """By code and in number, over two shops' lists, each read once; before the run the sandbox has met no call."""
    slugs = ["acme", "other"]
    write_customers(alone, 2000)
    write_campaign(alone)
    alone.write_shops("http://127.0.0.1:1", slugs)
    sandbox = alone.start_sandbox("--shops", "shops.toml", "--customers", "customers.csv")
    alone.write_shops(sandbox.url, slugs)
    planned = alone.run("plan", "spring.csv", *OPTIONS, "--match", "--json")
    assert planned.returncode == 0, planned.stderr
    predicted = json.loads(planned.stdout)["predicted"]
    assert predicted == {"sent": 8, UNKNOWN: 6, MISMATCH: 6}
    assert sandbox.calls() == []
    assert sandbox.summary() == {"calls": 0, "in_progress": 0, "shops": {}, "lists": {"acme": 1, "other": 1}}
    shown = alone.run("plan", "spring.csv", *OPTIONS, "--match")
    assert f"{UNKNOWN}: 6" in shown.stdout
    ran = alone.run("run", "spring.csv", *OPTIONS, "--out", "results.csv")
    assert ran.returncode == 0, ran.stderr
    assert Counter(row["code"] or row["outcome"] for row in alone.results()) == predicted
    assert sandbox.summary()["calls"] == 20


def test_a_rehearsal_judges_by_the_same_file(alone: Desk) -> None:
    """``run --sandbox --customers`` needs neither a shops file nor a sandbox of its own."""
    write_customers(alone, 20)
    write_campaign(alone)
    ran = alone.run(
        "run", "spring.csv", *OPTIONS, "--out", "r.csv", "--shop", "acme", "--sandbox", "--customers", "customers.csv"
    )
    assert ran.returncode == 0, ran.stderr
    codes = Counter(row["code"] or row["outcome"] for row in alone.results("r.csv"))
    assert codes == {"sent": 4, UNKNOWN: 3, MISMATCH: 3}


def test_customers_without_a_rehearsal_are_refused(alone: Desk) -> None:
    """A real run asks Refer2 who is a customer."""
    alone.write_shops("http://127.0.0.1:1", ["acme"])
    write_campaign(alone)
    ran = alone.run("run", "spring.csv", *OPTIONS, "--out", "r.csv", "--customers", "customers.csv")
    assert ran.returncode == 2
    assert (
        ran.stderr
        == "referrals: --customers: are the customers of a rehearsal; give --sandbox with it, or leave it out\n"
    )


def test_a_list_that_can_not_be_read_ends_the_plan_in_one_line(alone: Desk) -> None:
    """With the place, the remedy and its exit code; nothing is predicted from half a list."""
    write_campaign(alone)
    alone.write_shops("http://127.0.0.1:1", ["acme", "other"], token="customer")
    refused = alone.run("plan", "spring.csv", *OPTIONS, "--match", "--json")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr == (
        "referrals: shop acme: has customer tokens, which can't read the shop's customer list; use a shop token, or "
        "leave --match out\n"
    )
    alone.write_shops("http://127.0.0.1:1", ["acme", "other"])
    sandbox = alone.start_sandbox("--shops", "shops.toml")
    alone.write_shops(sandbox.url, ["acme", "other"])
    refused = alone.run("plan", "spring.csv", *OPTIONS, "--match", "--json")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == (
        f"referrals: shop acme at {sandbox.url}: serves neither ListCustomers3 nor ListCustomers2, so it has no "
        "customer list; check base_url and the shop's slug (a sandbox has one with --customers), or leave --match "
        "out\n"
    )


@pytest.mark.parametrize("command", [("run", "--out", "results.csv"), ("publish",)])
def test_dry_runs_predict_as_the_plan_does(alone: Desk, command: tuple[str, ...]) -> None:
    """``publish`` and ``run`` read the same lists, and call nobody."""
    slugs = ["acme", "other"]
    write_customers(alone, 2000)
    write_campaign(alone)
    alone.write_shops("http://127.0.0.1:1", slugs)
    sandbox = alone.start_sandbox("--shops", "shops.toml", "--customers", "customers.csv")
    alone.write_shops(sandbox.url, slugs)
    dry = alone.run(*command, "spring.csv", *OPTIONS, "--dry-run", "--match", "--json")
    assert dry.returncode == 0, dry.stderr
    assert json.loads(dry.stdout)["predicted"] == {"sent": 8, UNKNOWN: 6, MISMATCH: 6}
    assert sandbox.summary() == {"calls": 0, "in_progress": 0, "shops": {}, "lists": {"acme": 1, "other": 1}}
    assert not (alone.folder / "results.csv").exists()


def test_a_rehearsal_predicts_by_its_own_customers(alone: Desk) -> None:
    """Its list is that of --customers, whatever the shops file says; without one there is nothing to predict by."""
    write_customers(alone, 20)
    write_campaign(alone)
    rehearsal = ("run", "spring.csv", *OPTIONS, "--out", "r.csv", "--shop", "acme", "--sandbox", "--dry-run", "--match")
    dry = alone.run(*rehearsal, "--customers", "customers.csv", "--json")
    assert dry.returncode == 0, dry.stderr
    assert json.loads(dry.stdout)["predicted"] == {"sent": 4, UNKNOWN: 3, MISMATCH: 3}
    refused = alone.run(*rehearsal)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr == (
        "referrals: --match: a rehearsal has no customer list without --customers; give it, or leave --match out\n"
    )


@pytest.mark.parametrize("command", [("run", "--out", "results.csv"), ("publish", "--yes")])
def test_a_prediction_that_nobody_would_see_is_refused(alone: Desk, command: tuple[str, ...]) -> None:
    """Where no plan is shown ``--match`` could only be ignored, and nothing is read or called."""
    write_campaign(alone)
    alone.write_shops("http://127.0.0.1:1", ["acme", "other"])
    refused = alone.run(*command, "spring.csv", *OPTIONS, "--match")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr == (
        "referrals: --match: predicts in the plan, and none is shown with --yes or without a terminal; give --dry-run "
        "with it, or leave it out\n"
    )


def test_a_person_is_asked_by_the_prediction(alone: Desk) -> None:
    """On a terminal the prediction stands above the question, however few jobs there are; a no calls nobody."""
    write_customers(alone, 40_000)
    write_campaign(alone)
    alone.write_shops("http://127.0.0.1:1", ["acme", "other"])
    sandbox = alone.start_sandbox("--shops", "shops.toml", "--customers", "customers.csv")
    alone.write_shops(sandbox.url, ["acme", "other"])
    with Terminal(alone, "run", "spring.csv", *OPTIONS, "--out", "results.csv", "--match") as terminal:
        terminal.answer("? [y/N] ", "n")
        raw = terminal.raw()
        assert terminal.process.returncode == 2, raw
    before, question, after = raw.partition("Send up to 20 jobs? [y/N] ")
    assert question
    assert f"predicted {UNKNOWN}: 6" in before
    assert re.search(r"customers of acme \d+,000", before)
    assert "nothing was done" in after
    assert sandbox.calls() == []
    assert not (alone.folder / "results.csv").exists()
