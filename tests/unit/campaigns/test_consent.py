"""The forms of `--consent`, that a row must meet all conditions, and the error if no row meets one."""

import pytest

from tests.unit.campaigns.conftest import Import, Imported
from worker.campaigns.consent import parse_consent
from worker.errors import UsageError

HEADER = "customer_shopid,status,unsubscribed_at,vip\n"
ROWS = "1,Subscribed,,yes\n2,subscribed,2026-01-01,yes\n3,cleaned,,no\n4,, ,yes\n5,SUBSCRIBED,,\n"


def taken(done: Imported) -> list[str | None]:
    """The ids of those who are sent to."""
    return [job.customer.shopid for job in done.jobs]


@pytest.mark.parametrize(
    ("arguments", "ids"),
    [
        (["status=subscribed"], ["1", "2", "5"]),
        (["unsubscribed_at="], ["1", "3", "4", "5"]),
        (["unsubscribed_at!="], ["2"]),
        (["status!=cleaned"], ["1", "2", "4", "5"]),
        (["status = SUBSCRIBED", "unsubscribed_at="], ["1", "5"]),
        (["status=subscribed", "unsubscribed_at=", "vip=yes"], ["1"]),
        (["status!=cleaned", "status!="], ["1", "2", "5"]),
        (["vip=yes", "vip=YES"], ["1", "2", "4"]),
    ],
)
def test_all_conditions_must_hold(run_import: Import, arguments: list[str], ids: list[str]) -> None:
    """Values, blank cells and their contrary, each alone and several of them together."""
    done = run_import(HEADER + ROWS, consent=[parse_consent(argument) for argument in arguments])
    assert taken(done) == ids
    assert done.importer.rejected == {"no_consent": 5 - len(ids)}


@pytest.mark.parametrize("argument", ["consent", "=yes", " =yes", "!=yes", ""])
def test_what_is_no_condition(argument: str) -> None:
    """A `--consent` needs a column and a sign."""
    with pytest.raises(UsageError, match=r"COLUMN=VALUE, such as .*COLUMN!=VALUE"):
        parse_consent(argument)


def test_values_are_compared_as_they_look(run_import: Import) -> None:
    """A value is the same in both forms of Unicode and in any case."""
    done = run_import("customer_shopid,ok\n1,SI\u0301\n2,no\n", consent=[parse_consent("ok=s\u00ed")])
    assert taken(done) == ["1"]


def test_what_is_no_value(run_import: Import) -> None:
    """A database's word for no value is blank, and a spreadsheet's error is neither consent nor refusal."""
    content = "customer_shopid,opted_in_at\n1,2026-01-01\n2,NULL\n3,\\N\n4,#REF!\n5,\n"
    assert taken(run_import(content, consent=[parse_consent("opted_in_at!=")])) == ["1"]
    assert taken(run_import(content, consent=[parse_consent("opted_in_at=")])) == ["2", "3", "5"]
    assert taken(run_import(content, consent=[parse_consent("opted_in_at!=no")])) == ["1", "2", "3", "5"]


def test_two_values_of_one_column(run_import: Import) -> None:
    """What no row can meet is refused before anything is read."""
    both = [parse_consent("status=a"), parse_consent("Status=b")]
    with pytest.raises(UsageError, match="--consent status=a and --consent Status=b: no row can meet both"):
        run_import(HEADER + ROWS, consent=both)


def test_a_value_that_no_row_has(run_import: Import) -> None:
    """It is an error, in one line with the values that the column has, the most frequent first."""
    with pytest.raises(UsageError) as refused:
        run_import(HEADER + ROWS, consent=[parse_consent("vip=yes"), parse_consent("status=true")])
    assert str(refused.value) == (
        "--consent status=true: none of 5 rows meets this condition, so nothing was done; the values of this column: "
        "'Subscribed' (1), 'subscribed' (1), 'cleaned' (1), blank (1), 'SUBSCRIBED' (1)"
    )


def test_a_condition_that_a_few_rows_meet(run_import: Import) -> None:
    """It is no error that no row meets all conditions, if each of them is met by some row."""
    done = run_import(HEADER + ROWS, consent=[parse_consent("vip=no"), parse_consent("status=subscribed")])
    assert taken(done) == []
    assert run_import(HEADER, consent=[parse_consent("vip=no")]).jobs == []


def test_one_export_of_several(run_import: Import) -> None:
    """An export without consent beside others is warned about by name; one without rows is reported as that."""
    done = run_import(HEADER + ROWS, HEADER + "9,x,,nope\n", HEADER, consent=[parse_consent("vip=yes")])
    assert taken(done) == ["1", "2", "4"]
    assert [text.rpartition("/")[2] for text in done.importer.warnings] == [
        "1.csv: --consent vip=yes: no row meets this condition",
        "2.csv: has no rows",
    ]


def test_a_limit_is_no_end(run_import: Import) -> None:
    """Where reading stops at the limit of jobs, what comes after may be anything."""
    done = run_import(HEADER + ROWS, HEADER + "9,x,,nope\n", consent=[parse_consent("vip=yes")], limit=1)
    assert taken(done) == ["1"]
    assert not done.importer.warnings


@pytest.mark.parametrize(
    ("cells", "shown"),
    [
        ([f"v{number}" for number in range(21)], "more than 20 different values: is it the right one?"),
        ([f"v{number}" for number in range(9)], "'v7' (1) and 1 more"),
        (["anna@example.com", "+4915112345678"], "column: (looks like data) (1), (looks like data) (1)"),
        (["x" * 100], f"'{'x' * 40}…' (1)"),
        (["\x1b[2J\u202eyes"], r"'\x1b[2J\u202eyes' (1)"),
    ],
)
def test_what_is_shown_of_values(run_import: Import, cells: list[str], shown: str) -> None:
    """Few and short ones, none that may be a person's, none that steers a terminal."""
    rows = "".join(f"{number},{cell}\n" for number, cell in enumerate(cells))
    with pytest.raises(UsageError) as refused:
        run_import(f"customer_shopid,ok\n{rows}", consent=[parse_consent("ok=yes")])
    assert str(refused.value).endswith(shown)
    assert len(str(refused.value)) < 500
    assert "example" not in str(refused.value)
