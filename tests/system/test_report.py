"""`referrals report`: its page in a browser, its figures, and what the command says."""

import csv
import hashlib
import json
import random
import re
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests import hostile
from tests.browser import Page, Scheme, browser
from tests.system.commands import Desk
from tests.system.terminal import Terminal

BEGIN = datetime(2025, 11, 27, 9, tzinfo=UTC)
OUTCOMES = ("sent", "rejected", "failed", "unknown", "expired", "cancelled")
KINDS = (
    ("sent", None, "Thanks {name}! Your invitation is on its way."),
    ("sent", None, "Welcome back, {name}."),
    ("rejected", "no_customers_match_customer_identity", "there is no {name}"),
    ("rejected", "friend_too_close", "<b>Sorry</b>, {name} lives too close."),
    ("failed", "http_503", None),
    ("unknown", "timeout", None),
    ("expired", None, None),
    ("cancelled", None, None),
)
REASONS = {"unsubscribed": 40, "no_customer": 3, "shortened_id": 1}


def result(
    number: int, campaign: str, outcome: str, code: str | None, message: str | None, **fields: Any
) -> dict[str, Any]:
    """A result as the documents describe it; what is in its job's id can be given too."""
    job = {"campaign": campaign, "shop": "acme", "run": 0, "channel": "whatsapp"} | fields
    customer = {"shopid": str(number)}
    identity = [job["shop"], campaign, job["run"], None, str(number), None, job["channel"], None]
    digest = hashlib.sha256(json.dumps(identity, ensure_ascii=False, separators=(",", ":")).encode()).hexdigest()
    called = outcome not in ("expired", "cancelled")
    return {
        "schema": 1,
        "customer": customer,
        "job_id": digest[:32],
        "outcome": outcome,
        "code": code,
        "message": message,
        "referral": {"link": f"https://acme.example.com/r/{number}"} if outcome == "sent" else None,
        "attempts": int(called),
        "finished_at": BEGIN.isoformat(),
        **job,
    }


def campaign_of(jobs: int) -> list[dict[str, Any]]:
    """Results of a campaign, all kinds among them."""
    chance = random.Random(7)
    made = []
    for number in range(jobs):
        outcome, code, message = KINDS[min(int(chance.expovariate(0.8)), len(KINDS) - 1)]
        called = outcome not in ("expired", "cancelled")
        made.append(
            result(
                number,
                "spring",
                outcome,
                code,
                message and message.format(name=f"Ann{number}"),
                shop=chance.choice(["acme", "acme", "blume"]),
                channel=chance.choice(["whatsapp", "sms"]),
                run=int(chance.random() < 0.1),
                attempts=chance.choice([1, 1, 1, 2, 3]) if called else 0,
                latency_seconds=round(chance.lognormvariate(-1, 1), 4) if called else None,
                finished_at=(BEGIN + timedelta(seconds=chance.uniform(0, 20_000))).isoformat(),
            )
        )
    return made


def write(path: Path, results: list[dict[str, Any]]) -> None:
    """Write a results file of lines of JSON."""
    path.write_text("".join(json.dumps(each) + "\n" for each in results))


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """A browser, for all tests of this file."""
    with browser(tmp_path_factory.mktemp("browser")) as opened:
        yield opened


@pytest.fixture(scope="module")
def results() -> list[dict[str, Any]]:
    """A campaign of 3,000 jobs."""
    return campaign_of(3000)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory, results: list[dict[str, Any]]) -> Iterator[Desk]:
    """A desk with the campaign in two files that share a third of the jobs, with a rejects file, and with its page."""
    desk = Desk.of(tmp_path_factory.mktemp("desk"), "amqp://127.0.0.1:1")
    write(desk.folder / "one.jsonl", results[:2000])
    write(desk.folder / "two.jsonl", results[1000:])
    with (desk.folder / "spring.csv.rejects.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["line", "reason", "email"])
        writer.writerows([2, reason, "x"] for reason, number in REASONS.items() for _ in range(number))
    (desk.folder / "figures.json").write_text(json.dumps(report(desk, *REPORT)))
    yield desk
    desk.close()


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Desk]:
    """A desk without anything."""
    desk = Desk.of(tmp_path, "amqp://127.0.0.1:1")
    yield desk
    desk.close()


FROM = ("--from", "one.jsonl", "--from", "two.jsonl")
REPORT = ("report", "spring", *FROM, "--rejects", "spring.csv.rejects.csv", "--out", "report.html")


def report(desk: Desk, *arguments: str) -> dict[str, Any]:
    """The figures that the command prints for a program."""
    ended = desk.run(*arguments, "--json")
    assert (ended.returncode, ended.stderr) == (0, "")
    figures: dict[str, Any] = json.loads(ended.stdout)
    return figures


def number(cell: str) -> int:
    """What a cell with a number says."""
    return int(cell.replace(",", ""))


def by_name(rows: list[list[str]], names: int = 1) -> dict[str, dict[str, int]]:
    """The numbers of a table by row and column; the first cells of a row are its names."""
    head = rows[0]
    return {
        " ".join(row[:names]): {
            column: number(cell) for column, cell in zip(head[names:], row[names:], strict=True) if column and cell
        }
        for row in rows[1:]
    }


def counted(results: list[dict[str, Any]], key: str) -> dict[str, dict[str, int]]:
    """Results by a field and by outcome, as the page's tables have them."""
    counts: dict[str, Counter[str]] = {}
    for each in results:
        counts.setdefault(str(each[key]), Counter())[each["outcome"]] += 1
    return {
        name: {"jobs": count.total(), **{outcome: count[outcome] for outcome in OUTCOMES}}
        for name, count in counts.items()
    }


def test_a_job_that_was_sent_again_counts_once(empty: Desk) -> None:
    """Its latest run counts, or the one that was sent; only the runs' own table has both."""
    runs = [
        result(1, "spring", "failed", "http_503", None),
        result(1, "spring", "sent", None, "Thanks", run=1),
        result(2, "spring", "sent", None, "Thanks"),
        result(2, "spring", "rejected", "friend_too_close", None, run=1),
        result(3, "spring", "failed", "http_503", None, run=1),
        result(3, "spring", "unknown", "timeout", None),
        result(4, "spring", "sent", None, "Thanks"),
    ]
    (empty.folder / "results.jsonl").write_text("".join(json.dumps(each) + "\n" for each in runs))
    figures = report(empty, "report", "spring", "--from", "results.jsonl", "--out", "report.html")
    assert figures["jobs"] == 4
    assert {outcome: count for outcome, count in figures["outcomes"].items() if count} == {"sent": 3, "failed": 1}
    assert [(row["code"], row["results"]) for row in figures["codes"]] == [("http_503", 1)]
    assert {row["name"]: sum(row["outcomes"].values()) for row in figures["runs"]} == {"0": 4, "1": 3}
    assert figures["attempts"]["total"] == len(runs)


def test_the_tables_say_what_the_results_say(told: Desk, page: Page, results: list[dict[str, Any]]) -> None:
    """Each figure on the page is that of the data, counted by itself; the page asks for nothing and says nothing."""
    figures = json.loads((told.folder / "figures.json").read_text())
    page.resize(1100)
    page.open(told.folder / "report.html")
    assert page.requests == [(told.folder / "report.html").as_uri()]
    assert page.said == []
    outcomes = Counter(each["outcome"] for each in results)
    assert set(outcomes) == set(OUTCOMES)
    shown = {row[0]: number(row[1]) for row in page.table("outcomes")[1:]}
    assert shown == dict(outcomes) | {"all": len(results)}
    assert figures["jobs"] == len(results)
    assert figures["outcomes"] == dict(outcomes)
    codes = Counter((each["code"], each["outcome"]) for each in results if each["code"])
    assert {(row[0], row[1]): number(row[2]) for row in page.table("codes")[1:]} == dict(codes)
    beside = {row[0]: row[3] for row in page.table("codes")[1:]}
    assert beside["friend_too_close"].startswith("The shop's own rule; its message says which.")
    assert beside["friend_too_close"].endswith("The message: <b>Sorry</b>, … lives too close.")
    for name, key in (("shops", "shop"), ("channels", "channel"), ("runs", "run")):
        assert by_name(page.table(name)) == counted(results, key)
    times = by_name(page.table("time"))
    quarter = timedelta(minutes=15)
    ended = [datetime.fromisoformat(each["finished_at"]) for each in results]
    expected = Counter(f"{BEGIN + (at - BEGIN) // quarter * quarter:%H:%M}" for at in ended)
    assert {begin: row["jobs"] for begin, row in times.items() if row["jobs"]} == dict(expected)
    assert sum(row["sent"] for row in times.values()) == outcomes["sent"]
    attempts = Counter(str(each["attempts"] or "none") for each in results)
    assert {row[0]: number(row[1]) for row in page.table("attempts")[1:]} == dict(attempts)
    latencies = [each["latency_seconds"] for each in results if each.get("latency_seconds") is not None]
    bars = [number(row[1]) for row in page.table("latency")[1:]]
    bounds = (0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 1e9)
    expected_bars = [sum(low <= each < high for each in latencies) for low, high in pairwise(bounds)]
    # Those that are empty at either end are left out.
    full = [at for at, number in enumerate(expected_bars) if number]
    assert bars == expected_bars[full[0] : full[-1] + 1]
    assert {row[0]: number(row[1]) for row in page.table("rejected")[1:]} == REASONS
    messages = {row[0]: number(row[2]) for row in page.table("messages")[1:]}
    assert messages == {
        "Thanks … Your invitation is on its way.": sum("Thanks" in str(each["message"]) for each in results),
        "Welcome back, …": sum("Welcome" in str(each["message"]) for each in results),
        "there is no …": codes["no_customers_match_customer_identity", "rejected"],
        "<b>Sorry</b>, … lives too close.": codes["friend_too_close", "rejected"],
    }


def test_pictures_have_the_proportions_of_their_figures(told: Desk, page: Page, results: list[dict[str, Any]]) -> None:
    """The bar of all outcomes is as long as the page, and its parts are as long as their shares."""
    page.resize(1100)
    page.open(told.folder / "report.html")
    widths = page.evaluate(
        "[...document.querySelectorAll('.whole rect')].map(r => [r.className.baseVal, r.getBoundingClientRect().width])"
    )
    whole = page.evaluate("document.querySelector('.whole').getBoundingClientRect().width")
    outcomes = Counter(each["outcome"] for each in results)
    assert {name: width / whole for name, width in widths} == {
        name: pytest.approx(count / len(results), abs=0.001) for name, count in outcomes.items()
    }
    heights = page.evaluate(
        "[...document.querySelectorAll('.plot svg')][0].querySelectorAll('rect.sent').length && "
        "[...document.querySelectorAll('.plot g')].map(g => [...g.querySelectorAll('rect')]"
        ".reduce((sum, r) => sum + Number(r.getAttribute('height')), 0))"
    )
    jobs = [number(row[1]) for row in page.table("time")[1:]]
    top = number(page.evaluate("document.querySelector('.up span').textContent"))
    assert heights == [pytest.approx(100 * each / top, abs=0.01) for each in jobs]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_screen(told: Desk, page: Page, tmp_path: Path, scheme: Scheme) -> None:
    """Nothing has to be scrolled sideways, the colours follow the scheme, and narrow tables stay tables."""
    page.resize(1100, scheme=scheme)
    page.open(told.folder / "report.html")
    ground = "rgb(255, 255, 255)" if scheme == "light" else "rgb(20, 24, 28)"
    for width in (320, 400, 1100, 2200):
        page.resize(width, scheme=scheme)
        assert page.evaluate("document.documentElement.scrollWidth") == width
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == ground
        page.screenshot(tmp_path / f"{width}.png")
        assert (tmp_path / f"{width}.png").stat().st_size > 20_000
        roles = page.roles()
        # The figures of the chart over time are folded away.
        assert roles["table"] == page.evaluate("document.querySelectorAll('table').length") - 1 == 9
        assert roles["columnheader"] >= 9 * 2
        assert roles["image"] == 1


def test_on_paper(told: Desk, page: Page) -> None:
    """A printed page is black on white even where screens are dark, and shows what a click would unfold."""
    page.resize(794, scheme="dark", media="print")
    page.open(told.folder / "report.html")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
    visible = "document.getElementById('time').checkVisibility({contentVisibilityAuto: true})"
    assert page.evaluate(visible)
    page.resize(794)
    assert not page.evaluate(visible)


def test_the_policy_holds(told: Desk, page: Page) -> None:
    """What would be asked for or run, had somebody smuggled it in, is refused; this browser's log would show it."""
    page.open(told.folder / "report.html")
    page.evaluate("document.body.append(Object.assign(new Image(), {src: 'http://127.0.0.1:9/x'}))")
    page.evaluate("document.body.insertAdjacentHTML('beforeend', '<b onclick=\"window.ran = 1\">x</b>')")
    page.evaluate("document.querySelector('b[onclick]').click()")
    assert page.evaluate("window.ran === undefined")
    assert any("Content Security Policy" in each for each in page.said)


def test_hostile_results(empty: Desk, page: Page) -> None:
    """Names, codes and messages that would steer a terminal or a browser are shown as the characters that they are."""
    desk = empty
    script = "</title></style><script>document.title = 1</script><img src=x onerror=alert(1)>"
    name = f"{hostile.TEXT[:100]} {script}"
    write(
        desk.folder / "r.jsonl",
        [
            result(1, name, "rejected", script[:64], f"{hostile.TEXT} {script}", channel="a<b>&\u202eb"[:32]),
            result(2, name, "sent", None, "SANDBOX: hello"),
        ],
    )
    ended = desk.run("report", name, "--from", "r.jsonl", "--out", "report.html")
    assert ended.returncode == 0, ended.stderr
    assert list(hostile.raw((ended.stdout + ended.stderr).encode())) == []
    assert list(hostile.raw((desk.folder / "report.html").read_bytes())) == []
    page.open(desk.folder / "report.html")
    assert (page.requests, page.said) == ([(desk.folder / "report.html").as_uri()], [])
    assert page.evaluate("document.querySelectorAll('script, img, b').length") == 0
    assert "<script>" in page.evaluate("document.title")
    assert page.table("codes")[1][0] == script[:64]
    assert "1 of these 2 results is from a rehearsal" in page.evaluate("document.querySelector('.alarm').textContent")


def test_one_shop(told: Desk, results: list[dict[str, Any]]) -> None:
    """`--shop` shows that shop's part alone."""
    figures = report(told, *REPORT, "--shop", "blume")
    assert figures["jobs"] == sum(each["shop"] == "blume" for each in results)
    assert [row["name"] for row in figures["shops"]] == ["blume"]


def test_a_run_and_its_report_agree(empty: Desk) -> None:
    """The outcomes and codes of the page are those that the run counted, and the rehearsal is marked."""
    desk = empty
    addresses = ["ann@mail.example.org", "bea@mail.example.org", "stranger+cy@mail.example.org", ""]
    desk.write_export("list.csv", [{"customer_email": address, "reference": "x"} for address in addresses])
    run = desk.run(
        *("run", "list.csv", "--shop", "acme", "--campaign", "spring", "--channel", "whatsapp", "--sandbox"),
        *("--out", "results.csv", "--json"),
    )
    summary = json.loads(run.stdout)
    figures = report(
        desk, "report", "spring", "--from", "results.csv", "--rejects", *summary["reject_files"], "--out", "report.html"
    )
    assert {outcome: count for outcome, count in figures["outcomes"].items() if count} == summary["outcomes"]
    assert {row["code"]: row["results"] for row in figures["codes"]} == summary["codes"]
    assert figures["rejected_rows"] == summary["rejected"]
    assert figures["jobs"] == summary["results_rows"]
    assert figures["sandbox"] == 3


@pytest.mark.parametrize("columns", [40, 200])
def test_on_a_terminal(told: Desk, columns: int) -> None:
    """The summary has the outcomes and the codes with what they mean, in one colour, and as much of it in a pipe."""
    with Terminal(told, *REPORT, columns=columns) as terminal:
        seen = terminal.raw().replace("\r\n", "\n")
    piped = told.run(*REPORT)
    assert piped.returncode == 0
    assert seen == piped.stdout
    assert "\x1b" not in seen
    assert "the shop's own rule; " not in seen
    assert re.search(r"^  friend_too_close +\d+  the shop's own rule$", seen, re.MULTILINE)
    assert re.search(r"^the page is in +report\.html$", seen.splitlines()[-1])


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ("sumer 2026", "results of summer 2026, summer 2025 and others;"),
        ("x", "results of winter, autumn, new year and others;"),
    ],
)
def test_the_campaigns_that_may_be_meant(empty: Desk, asked: str, named: str) -> None:
    """The likest are named, wherever their results stand; if none is like it, the first."""
    campaigns = ("winter", "autumn", "new year", "summer 2025", "summer 2026")
    write(empty.folder / "all.jsonl", [result(1, campaign, "sent", None, None) for campaign in campaigns])
    ended = empty.run("report", asked, "--from", "all.jsonl", "--out", "r.html")
    assert ended.returncode == 2
    assert named in ended.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        (
            ("report", "sprig", *FROM, "--out", "r.html"),
            2,
            "campaign sprig: has no results here; there are results of spring",
        ),
        (
            ("report", "spring", *FROM, "--shop", "none", "--out", "r.html"),
            2,
            "campaign spring in shop none: has no results",
        ),
        (("report", "spring", *FROM, "--out", "one.jsonl"), 2, "one.jsonl: is no page of this command"),
        (("report", "spring", *FROM, "--out", "missing/r.html"), 1, "missing: there is no such folder"),
        (("report", "spring", *FROM, "--rejects", "one.jsonl", "--out", "r.html"), 2, "is no file of rejected rows"),
        (("report", "spring", "--out", "r.html"), 2, "nothing says where the results are"),
    ],
)
def test_mistakes(told: Desk, arguments: tuple[str, ...], code: int, line: str) -> None:
    """Each is one line that names the place, and nothing is written or lost."""
    before = (told.folder / "one.jsonl").read_bytes()
    ended = told.run(*arguments)
    assert (ended.returncode, ended.stdout) == (code, "")
    assert ended.stderr.count("\n") == 1
    assert line in ended.stderr
    assert not (told.folder / "r.html").exists()
    assert (told.folder / "one.jsonl").read_bytes() == before
