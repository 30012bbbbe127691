"""JSONL: keys as columns, and lines that are no row."""

import csv
import json

import pytest

from tests.unit.campaigns.conftest import Import
from worker.campaigns.consent import parse_consent
from worker.campaigns.exports.text import MAX_ROW
from worker.errors import UsageError


@pytest.mark.parametrize("suffix", [".jsonl", ".ndjson", ".NDJSON", ".txt"])
def test_found_by_suffix_or_content(run_import: Import, suffix: str) -> None:
    """JSONL is known by its name, or else by its first character."""
    done = run_import('\ufeff{"Customer-Email": " one@example.com ", "line": 3}\r\n', suffix=suffix)
    assert done.emails == ["one@example.com"]


def test_objects_may_differ(run_import: Import) -> None:
    """Keys may come in any order, first appear late, or be nested in `customer`; null is as good as absent."""
    rows: list[dict[str, object]] = [
        {"customer": {"email": "one@example.com", "shopid": 12345678901234567890, "vip": True}},
        {"reference": 1.50, "customer_bhid": "b2", "customer": None},
        {"channel": "email", "destination": "friend@example.org", "customer_email": "three@example.com"},
    ]
    done = run_import("\n\n".join(map(json.dumps, rows)), suffix=".jsonl")
    first, second, third = done.jobs
    assert (first.customer.shopid, first.line) == ("12345678901234567890", 1)
    assert (second.customer.bhid, second.reference, second.line) == ("b2", "1.5", 3)
    assert (third.channel, third.destination, third.line) == ("email", "friend@example.org", 5)


NESTED = (
    '{"attributes": {"email": "one@example.com", "ok": true}, "who": {"is": {"id": 7}}, "email": "x@example.com"}\n'
    '{"attributes": {"email": "two@example.com", "ok": false}}\n'
    '{"attributes": {"email": null, "ok": true}, "who": {"is": {"id": 8}}}\n'
    '{"attributes": null, "who": []}\n'
)


def test_nested_keys_wherever_a_column_is_named(run_import: Import) -> None:
    """`--map` and `--consent` lead into nested objects by dots, however deep, and match names loosely."""
    mapping = {"customer_email": "Attributes.E-Mail", "customer_shopid": "who.is.id"}
    done = run_import(NESTED, suffix=".jsonl", mapping=mapping, consent=[parse_consent("attributes.ok=true")])
    assert [(job.customer.email, job.customer.shopid) for job in done.jobs] == [("one@example.com", "7"), (None, "8")]
    assert done.rejects == [(2, "no_consent"), (4, "no_consent")]


def test_nested_keys_are_no_fields_by_themselves(run_import: Import) -> None:
    """Deeper keys that are called like a field are none: the id of a customer's shop is no customer's."""
    deep = '{"customer_bhid": "b", "customer": {"shop": {"id": 1}}, "a": {"channel": "sms", "customer_email": "x"}}'
    (job,) = run_import(deep, suffix=".jsonl").jobs
    assert (job.customer.identity(), job.channel) == ({"bhid": "b"}, "whatsapp")


def test_nested_keys_that_are_missing(run_import: Import) -> None:
    """A path that no object has is refused, and the nested keys are among those that are shown."""
    with pytest.raises(UsageError, match=r"--map customer_email=a\.b: no such .*attributes\.email, attributes\.ok"):
        run_import(NESTED, suffix=".jsonl", mapping={"customer_email": "a.b"})
    with pytest.raises(UsageError, match=r"--map customer_email=attributesemail: no such"):
        run_import(NESTED, suffix=".jsonl", mapping={"customer_email": "attributesemail"})


def test_null_in_a_mapped_field(run_import: Import) -> None:
    """A key that the operator has mapped may be null: the row has no such value, and is still read."""
    rows: list[dict[str, object]] = [
        {"who": None, "customer_bhid": "b1", "note": None, "where": None},
        {"who": "two@example.com", "customer_bhid": None, "note": "two"},
        {"who": None, "customer_bhid": None},
    ]
    mapping = {"customer_email": "who", "reference": "note", "destination": "where"}
    done = run_import("\n".join(map(json.dumps, rows)), suffix=".jsonl", mapping=mapping)
    assert [(job.customer.bhid, job.customer.email, job.reference) for job in done.jobs] == [
        ("b1", None, None),
        (None, "two@example.com", "two"),
    ]
    assert done.rejects == [(3, "no_customer")]


@pytest.mark.parametrize("empty", ["", "  ", None])
@pytest.mark.parametrize("keys", [("customer_email", "Customer-Email"), ("Customer-Email", "customer_email")])
def test_two_keys_of_one_field(run_import: Import, keys: tuple[str, str], empty: str | None) -> None:
    """Of several keys of a field the exact one counts, then the first with a value; two values reject the row."""
    first, second = keys
    rows: list[dict[str, object]] = [
        {first: "one@example.com", second: empty},
        {first: empty, second: "two@example.com"},
        {first: "three@example.com", second: "four@example.com"},
        {"customer": {"email": empty}, first: "five@example.com"},
    ]
    done = run_import("\n".join(map(json.dumps, rows)), suffix=".jsonl")
    if first == "customer_email":
        assert done.emails == ["one@example.com", "five@example.com"]
        assert done.rejects == [(2, "no_customer"), (3, "two_values")]
    else:
        assert done.emails == ["two@example.com", "five@example.com"]
        assert done.rejects == [(1, "no_customer"), (3, "two_values")]


@pytest.mark.parametrize(
    "row",
    [
        '{"customer_email": "a@example.org", "customer": {"email": "b@example.org"}}',
        '{"customer": {"email": "a@example.org", "E-Mail": "b@example.org"}}',
        '{"customer_bhid": "b", "OK": "yes", "ok": "no"}',
        '{"customer_bhid": "b", "OK": "yes", "ok": ""}',
        '{"customer_bhid": "b", "ok": "yes", "Ok": null}',
        '{"customer_bhid": "b", "ok": "yes", "a": {"ok": "yes", "OK": "no"}}',
    ],
)
def test_spellings_that_contradict_each_other(run_import: Import, row: str) -> None:
    """They reject their row, nested ones too; those for consent also if one of them is blank."""
    same = '{"customer_bhid": "c", "Customer-BhId": "c", "ok": "yes", "OK": "yes", "a": {"ok": "yes"}}'
    consent = [parse_consent("ok!=no"), parse_consent("a.ok!=no")]
    done = run_import(f"{row}\n{same}\n", suffix=".jsonl", consent=consent)
    assert [job.customer.bhid for job in done.jobs] == ["c"]
    assert done.rejects == [(1, "two_values")]


@pytest.mark.parametrize(("beyond", "taken"), [(0, True), (1, False)])
@pytest.mark.parametrize("end", ["\n", ""])
def test_the_longest_line(run_import: Import, beyond: int, taken: bool, end: str) -> None:
    """A line of exactly the longest length, its end included, is a row; one more character is too much."""
    start, stop = '{"customer_email": "one@example.com", "note": "', '"}' + end
    line = start + "x" * (MAX_ROW - len(start) - len(stop) + beyond) + stop
    after = '{"customer_email": "two@example.com"}' if end else ""
    done = run_import(f'{{"customer_email": "zero@example.com"}}\n{line}{after}', suffix=".jsonl")
    emails = ["zero@example.com", *(["one@example.com"] if taken else []), *(["two@example.com"] if end else [])]
    assert done.emails == emails
    assert done.rejects == ([] if taken else [(2, "unreadable_row")])


@pytest.mark.parametrize(
    "bad",
    [
        "nonsense",
        "[1]",
        "7",
        '{"customer_email": "a@example.com"',
        '{"customer_email": "a@example.com", "x": NaN}',
        '{"customer_email": "a@example.com", "x": -Infinity}',
        '{"customer_email": "a@example.com", "customer_email": "b@example.com"}',
        '{"customer_bhid": "a", "x": {"y": 1, "y": 1}}',
        '{"customer_email": "a@example.com", "x": ' + "[" * 100_000 + "]" * 100_000 + "}",
        '{"customer_email": "a@example.com", "x": "' + "y" * MAX_ROW + '"}',
        '{"customer_email": "a@example.com", "x": [' + "{}," * 20_000 + "1]}",
        '{"customer_email": "a@example.com", "x": ' + "1" * 5000 + "}",
    ],
)
def test_unreadable_lines(run_import: Import, bad: str) -> None:
    """A line that is no readable object is rejected, and the other lines are read."""
    done = run_import(f'{{"customer_email": "one@example.com"}}\n{bad}\n{{"customer_email": "two@example.com"}}')
    assert done.emails == ["one@example.com", "two@example.com"]
    assert done.rejects == [(2, "unreadable_row")]


@pytest.mark.parametrize(
    "cells",
    [
        '"customer_email": ["a@example.com"]',
        '"customer_email": "a@example.com", "customer_bhid": {"id": 1}',
        '"customer_bhid": "b", "channel": ["sms"]',
        '"customer_bhid": "b", "ok": ["yes"]',
        '"customer_bhid": "\\ud800"',
        '"customer_bhid": "b", "reference": "\\ud800"',
        '"customer_bhid": "b", "channel": "\\udfff"',
        '"customer_email": "a\\ud800@example.com"',
    ],
)
def test_cells_that_are_no_text(run_import: Import, cells: str) -> None:
    """A list, an object and half a pair where a cell should be cost their row, for a reason of their own."""
    good = '{"customer_email": "one@example.com", "ok": "no"}'
    done = run_import(f"{good}\n{{{cells}}}\n", suffix=".jsonl", consent=[parse_consent("ok!=yes")])
    assert done.emails == ["one@example.com"]
    assert done.rejects == [(2, "not_text")]


def test_undecodable_line(run_import: Import) -> None:
    """Bytes that are no text cost their line only."""
    done = run_import(b'{"customer_bhid": "a"}\n{"customer_bhid": "\x81\xff"}\n', suffix=".jsonl")
    assert [job.customer.bhid for job in done.jobs] == ["a"]
    assert done.rejects == [(2, "unreadable_row")]


def test_rejected_line_is_kept_whole(run_import: Import) -> None:
    """The rejects file holds the line as one cell."""
    done = run_import('{"customer_email": "x", "b": 1}\n', suffix=".jsonl")
    assert done.importer.reject_files[0].read_text() == (
        'line,reason,row,json\n1,no_customer,1,"{""customer_email"": ""x"", ""b"": 1}"\n'
    )


def test_long_rejected_lines(run_import: Import) -> None:
    """A rejected row that could be read is kept whole, however long; of an overlong line its first 1,000 characters."""
    long = json.dumps({"customer_email": "x", "note": "y" * 5000})
    done = run_import(f'{long}\n{{"note": "{"z" * MAX_ROW}"}}\n', suffix=".jsonl")
    (written,) = done.importer.reject_files
    csv.field_size_limit(MAX_ROW)
    (_, first, second) = csv.reader(written.read_text().splitlines())
    assert first == ["1", "no_customer", "1", long]
    assert second == ["2", "unreadable_row", "2", ('{"note": "' + "z" * 1000)[:1000]]


def test_consent_by_boolean(run_import: Import) -> None:
    """JSON's true and false can be asked for."""
    rows = '{"customer_bhid": "a", "ok": true}\n{"customer_bhid": "b", "ok": false}\n{"customer_bhid": "c"}\n'
    done = run_import(rows, suffix=".jsonl", consent=[parse_consent("OK=True")])
    assert [job.customer.bhid for job in done.jobs] == ["a"]
    assert done.rejects == [(2, "no_consent"), (3, "no_consent")]


def test_empty_jsonl(run_import: Import) -> None:
    """A file of no objects has no jobs."""
    assert run_import("\n", suffix=".jsonl").jobs == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"a": 1}\n', "no column for the customer.*columns seen: a$"),
        ("x,y\n", "no JSON object in its first 1000 rows"),
    ],
)
def test_refused(run_import: Import, content: str, message: str) -> None:
    """A file whose keys or lines can't be understood is refused."""
    with pytest.raises(UsageError, match=message):
        run_import(content, suffix=".jsonl")


@pytest.mark.parametrize("suffix", [".json", ".jsonl", ".csv"])
def test_json_that_is_not_lines(run_import: Import, suffix: str) -> None:
    """An object of several lines is refused with the way to turn it into JSONL."""
    with pytest.raises(UsageError, match="write one object a line, as `jq -c"):
        run_import('{\n  "customer_email": "x"\n}', suffix=suffix)


@pytest.mark.parametrize("mark", ["", "\ufeff", "\ufeff\ufeff"])
def test_lines_of_json_in_a_json_file(run_import: Import, mark: str) -> None:
    """A `.json` file with one object a line is read, however many byte order marks it has."""
    assert run_import(f'{mark}{{"customer_bhid": "a"}}\n', suffix=".json").jobs


_ROW = '{"customer_email": "one@example.com"}'


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (f'{{"data": [{_ROW}]}}', "if its rows are in `data`, write one a line, as `jq -c '.data[]'` does"),
        (f'{{"meta": {{"email": ""}}, "list": [{_ROW}]}}', "if its rows are in `list`"),
        (f'{{"data": [{_ROW}, {" " * MAX_ROW}]}}', "if its rows are in `data`"),
        (f'{{"data": [\n{_ROW},\n{_ROW}\n]}}\n', "has objects of several lines"),
        (f'{{\n"data": [\n{_ROW},\n{_ROW}\n]\n}}\n', "has objects of several lines"),
        (f'{{"meta":\n{{"page": 1}}, "data": [\n{_ROW}\n]}}\n', "has objects of several lines"),
        (f"{_ROW},\n{_ROW}\n", "or commas between them"),
    ],
    ids=["one line", "not the first key", "too long", "few lines", "many lines", "a colon", "commas"],
)
def test_an_object_that_holds_the_rows_is_refused(run_import: Import, content: str, message: str) -> None:
    """Otherwise the last of its rows, which has no comma, would be sent without the others."""
    with pytest.raises(UsageError) as refused:
        run_import(content, suffix=".json")
    assert message in str(refused.value)
    assert "one@example" not in str(refused.value)


@pytest.mark.parametrize(
    "content",
    ['[["customer_email"], ["one@example.com"]]', '["one@example.com"]', "[1, 2]", "[null]", "[[\n1]]", "[[[[[[[["],
)
def test_an_array_without_objects_is_refused(run_import: Import, content: str) -> None:
    """As CSV it would be a header without rows."""
    with pytest.raises(UsageError, match="no JSON object in its first 1000 rows"):
        run_import(content)


def test_a_column_may_stand_in_brackets(run_import: Import) -> None:
    """So programs of Microsoft write names."""
    done = run_import("[customer_email],[1]\none@example.com,2\n")
    assert done.emails == ["one@example.com"]
