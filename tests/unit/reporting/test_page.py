"""The page: its text, its markup and its colours."""

import re
from datetime import UTC, date, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from tests import hostile
from tests.unit.reporting.results import result
from worker.model.outcomes import OUTCOMES
from worker.reporting import page as module
from worker.reporting.document import document
from worker.reporting.figures import Figures
from worker.reporting.page import MARK, headline, page

CSS = (Path(module.__file__).parent / "page.css").read_text(encoding="utf-8")

VOID = {"meta", "rect", "wbr"}


class Markup(HTMLParser):
    """What a page consists of: its tags in order, with their attributes, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, name: str) -> list[dict[str, str | None]]:
        """The attributes of each tag of a name."""
        return [attributes for tag, attributes in self.tags if tag == name]


def made(
    *results: dict[str, Any], rejected: dict[str, int] | None = None, campaign: str = "spring", **more: Any
) -> str:
    """The page of these results."""
    now = datetime(2026, 11, 28, 12, tzinfo=UTC)
    figures = Figures(now)
    for each in results:
        figures.add(each)
    return page(document(figures, campaign=campaign, shop=None, made_at=now, rejected=rejected, **more))


EVERYTHING = [
    *(result(outcome, None if outcome == "sent" else "timeout", message="no") for outcome in OUTCOMES),
    result(run=1, share_action={"do": "it"}, finished_at="2026-11-27T13:00:00Z"),
]
CONVERSIONS = {
    "totals": {"accepted": 3, "qualified": 2, "rewarded": 1},
    "days": [{"day": "2026-11-27", "accepted": 3, "qualified": 2, "rewarded": 1}],
    "remarks": ["shop acme: could not be asked"],
}


def test_texts_from_outside_stay_texts() -> None:
    """Whatever names, codes and messages hold, they add no tag, hide nothing and steer nothing."""
    plain = Markup(made(result("rejected", "x", message="y"), rejected={"z": 1}))
    for nasty in (
        hostile.TEXT,
        "<script>alert(1)</script>",
        '"><img src=http://evil.example onerror=x>',
        "{{ 7*7 }}{% x %}",
    ):
        html = made(
            result("rejected", nasty, shop=nasty, channel=nasty, message=nasty), rejected={nasty: 1}, campaign=nasty
        )
        assert list(hostile.raw(html.encode())) == []
        found = Markup(html)
        assert [tag for tag, _ in found.tags if tag != "wbr"] == [tag for tag, _ in plain.tags]
        assert "49" not in re.sub(r"\d{4}-\d\d-\d\d", "", found.text.partition("</style>")[0].rpartition("}")[2])


def test_it_asks_nobody_for_anything() -> None:
    """No script, no address that a browser would follow by itself, and a policy that forbids both."""
    found = Markup(made(*EVERYTHING, rejected={"no_customer": 1}, conversions=CONVERSIONS))
    assert not {"script", "link", "img", "iframe", "object", "base", "form"} & {tag for tag, _ in found.tags}
    assert not [
        name
        for _, attributes in found.tags
        for name in attributes
        if name in ("src", "href", "srcset") or name.startswith("on")
    ]
    assert "url(" not in CSS
    assert "@import" not in CSS
    policy = next(each["content"] for each in found.all("meta") if each.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none'; style-src 'unsafe-inline';")


def test_it_can_be_read_without_seeing_it() -> None:
    """It has a language and a title; headings in order; each table a caption, and headers that say what they head."""
    found = Markup(made(*EVERYTHING, rejected={"no_customer": 1}, conversions=CONVERSIONS))
    assert found.open == []
    assert found.all("html") == [{"lang": "en"}]
    levels = [int(tag[1]) for tag, _ in found.tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert set(levels[1:]) == {2}
    tables = found.all("table")
    assert len(tables) == len(found.all("caption")) >= 10
    assert {each["scope"] for each in found.all("th")} == {"row", "col"}
    assert all("aria-hidden" in each or each.get("role") == "img" for each in found.all("svg"))
    named = {each["id"] for _, each in found.tags if "id" in each}
    assert {each["aria-labelledby"] for each in found.all("section")} <= named
    ids = [each["id"] for _, each in found.tags if "id" in each]
    assert len(ids) == len(set(ids))


def test_what_a_marketer_reads_first() -> None:
    """One sentence says what became of the campaign; a share that isn't all is never called 100 %."""
    outcomes = dict.fromkeys(OUTCOMES, 0) | {"sent": 999_999, "unknown": 1}
    assert headline({"jobs": 1_000_000, "outcomes": outcomes}) == (
        "1,000,000 jobs have ended: 999,999 sent (99.9\xa0%), "
        "1 unknown, which may have been carried out or not (0.1\xa0%)."
    )
    assert headline({"jobs": 1, "outcomes": outcomes | {"sent": 1, "unknown": 0}}) == (
        "1 job has ended: 1 sent (100\xa0%)."
    )


def test_a_rehearsal_is_marked() -> None:
    """Results of the sandbox can't be taken for sent referrals, and those of Refer2 not for a rehearsal."""
    rehearsed = result(message="SANDBOX: hello")
    assert "SANDBOX: this is a rehearsal" in made(rehearsed)
    assert "(SANDBOX)</title>" in made(rehearsed)
    assert "SANDBOX: 1 of these 2 results is from a rehearsal" in made(rehearsed, result())
    assert "SANDBOX" not in made(result())


def text_of(html: str) -> str:
    """What a person reads on the page, with each run of blanks as one."""
    return " ".join(Markup(html).text.partition("</style>")[0].rpartition("}")[2].split())


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0.0, "under 1 ms"),
        (0.00544, "5.4 ms"),
        (0.0449, "45 ms"),
        (0.37, "370 ms"),
        (0.9999, "1 s"),
        (1.334, "1.33 s"),
        (19.97, "20 s"),
        (1234.0, "1,230 s"),
    ],
)
def test_how_long_calls_took(seconds: float, shown: str) -> None:
    """Milliseconds below a second, and no more digits than a person can use."""
    told = text_of(made(result(latency_seconds=seconds)))
    assert f"Half of the answers came within {shown} (p50)" in told


def test_bars_that_are_empty_at_either_end_are_left_out() -> None:
    """Whether calls take milliseconds or seconds, the table shows what there is, and gaps within it."""
    told = text_of(made(result(latency_seconds=0.03), result(latency_seconds=0.3)))
    assert "20 ms to 50 ms1 50 ms to 100 ms0 100 ms to 200 ms0 200 ms to 500 ms1 How often" in told


def test_a_campaign_of_one_instant() -> None:
    """One column says nothing; a sentence says when it was."""
    html = made(result(), result())
    assert 'class="plot"' not in html
    assert "All results are of the same second: 2026-11-27 10:00:30." in text_of(html)


def test_a_short_campaign() -> None:
    """Its columns are seconds; their labels leave out the day, which is told once."""
    html = made(result(), result(finished_at="2026-11-27T10:00:33Z"))
    told = text_of(html)
    assert "Results from 2026-11-27 10:00:30 to 10:00:33;" in told
    assert "Results in each second on 2026-11-27, by outcome." in told
    assert [f"10:00:3{second}" in told for second in range(4)] == [True] * 4


def test_times_that_cannot_be_right_are_told() -> None:
    """Such a result counts everywhere else; without another one there is no picture."""
    told = text_of(made(result(), result(finished_at="1970-01-01T00:00:00Z")))
    assert "2 jobs have ended" in told
    assert "1 result has a time that can't be right" in told
    alone = text_of(made(result(finished_at="2030-01-01T00:00:00Z")))
    assert "No result tells a time that can be right; page made" in alone


def test_one_of_each_is_no_plural() -> None:
    """A page about one job reads as if it was written for it."""
    told = text_of(made(result("rejected", "x", message="no"), rejected={"no_customer": 1}))
    assert "for the 1 job that tells" in told
    assert "1 attempt in all" in told
    assert "1 row never became a job, and is not among the jobs above" in told
    assert not re.search(r"\b1 (jobs|rows|results|attempts)\b", told)


def test_acceptances_over_years() -> None:
    """A page lists days while they are few; then spans of several, which add up to as much."""
    first = date(2024, 1, 1)
    rows = [
        {"day": (first + timedelta(number)).isoformat(), "accepted": 2, "qualified": 1, "rewarded": 1}
        for number in range(700)
    ]
    told = {"totals": {"accepted": 1400, "qualified": 700, "rewarded": 700}, "days": rows, "remarks": []}
    html = made(result(), conversions=told)
    table = html[html.index('<table id="conversions">') :].partition("</table>")[0]
    cells = [int(cell) for cell in re.findall(r'<td class="n">(\d+)</td>', table)]
    assert [sum(cells[at::3]) for at in range(3)] == [1400, 700, 700]
    assert len(cells) <= 3 * 48
    assert "What came in each 15 days (UTC), from the day given" in text_of(html)


def test_rows_left_out() -> None:
    """Each reason is told with what to do; without a rejects file the page says that it can't tell."""
    assert "No rejects file was given" in made(result())
    told = made(result(), rejected={"shortened_id": 3, "(other)": 1})
    assert "Export again, and don&#39;t save the file from a spreadsheet" in told
    assert "4 rows never became a job" in told
    assert "have no rows" in made(result(), rejected={})


def test_a_page_says_that_it_is_ours_near_its_beginning() -> None:
    """By this the command knows which file it may replace."""
    assert MARK in made(result(), campaign="x" * 500)[:256]


def _colours(block: str) -> dict[str, str]:
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block))


LIGHT, DARK, PRINT = (_colours(block) for block in re.findall(r":root \{(.*?)\}", CSS, re.DOTALL))


def _luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _contrast(one: str, other: str) -> float:
    dark, light = sorted((_luminance(one), _luminance(other)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("colours", [LIGHT, DARK, PRINT], ids=["light", "dark", "print"])
def test_contrast(colours: dict[str, str]) -> None:
    """Texts have the contrast that WCAG 2 asks for at AA (4.5), and the parts of pictures theirs (3)."""
    for text, ground in (("ink", "paper"), ("soft", "paper"), ("link", "paper"), ("alarm", "alarm-paper")):
        assert _contrast(colours[text], colours[ground]) >= 4.5, text
    for part in (*OUTCOMES, "plain", "accepted", "qualified", "rewarded"):
        for ground in ("paper", "tint"):
            assert _contrast(colours[part], colours[ground]) >= 3, (part, ground)
