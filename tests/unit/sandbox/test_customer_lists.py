"""A sandbox with a file of customers answers by it, and serves it as the vendor's lists."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
import requests

from worker.errors import InputError
from worker.sandbox.config import SANDBOX_KEY_ID, SANDBOX_SECRET, SandboxConfig
from worker.sandbox.server import RunningSandbox

CUSTOMERS = "bhid,shopid,email\nB1,0007,Jane@example.com\n,8,joe@example.com\nB3,,jane@example.com\n\n"
UNKNOWN = "no_customers_match_customer_identity"
MISMATCH = "customer_identity_partially_mismatches_matched_customer"
ALL = {"format": "JSONL", "limit": -1}


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[RunningSandbox]:
    path = tmp_path / "customers.csv"
    path.write_text(CUSTOMERS, encoding="utf-8-sig")
    with RunningSandbox(SandboxConfig(limits=None, customers=path)) as running:
        yield running


def post(sandbox: RunningSandbox, call: str, body: object, subject: str = "acme", **claims: str) -> requests.Response:
    claimed = {"aud": "BH", "sub": subject} | claims
    bearer = jwt.encode(claimed, SANDBOX_SECRET, "HS256", headers={"kid": SANDBOX_KEY_ID})
    return requests.post(
        f"{sandbox.url}/api/v2023061/acme/{call}",
        json=body,
        headers={"Authorization": f"Bearer {bearer}"},
        timeout=10,
    )


def refer(sandbox: RunningSandbox, subject: str = "acme", **customer: str) -> str:
    """How a call for the customer ends: "sent" or the error's code."""
    answer = post(sandbox, "Refer2", {"customer": customer, "channel": "sms"}, subject).json()
    return "sent" if "referral" in answer else str(answer["id"])


@pytest.mark.parametrize(
    ("customer", "code"),
    [
        ({"bhid": "B1"}, "sent"),
        ({"email": " JANE@example.com "}, "sent"),
        ({"bhid": "B1", "shopid": "0007", "email": "jane@example.com"}, "sent"),
        ({"bhid": "B3", "email": "jane@example.com"}, "sent"),
        ({"bhid": "sandbox-2", "shopid": "8"}, "sent"),
        ({"bhid": "b1"}, UNKNOWN),
        ({"shopid": "7"}, UNKNOWN),
        ({"bhid": "B1", "shopid": "8"}, MISMATCH),
        ({"shopid": "0007", "email": "nobody@example.com"}, MISMATCH),
        ({"shopid": "9", "email": "nobody@example.com"}, UNKNOWN),
    ],
)
def test_calls_are_answered_by_the_file(sandbox: RunningSandbox, customer: dict[str, str], code: str) -> None:
    """All ids must be one customer's: ids by each character, addresses without case."""
    assert refer(sandbox, **customer) == code


def test_a_customer_token_is_answered_by_the_file(sandbox: RunningSandbox) -> None:
    """Its subject is the customer's shopid."""
    assert refer(sandbox, "acme/0007", email="jane@example.com") == "sent"
    assert refer(sandbox, "acme/0007", email="joe@example.com") == MISMATCH
    assert refer(sandbox, "acme/7") == UNKNOWN


@pytest.mark.parametrize(("call", "bhid"), [("ListCustomers3", "bhid"), ("ListCustomers2", "bh_id")])
def test_the_file_is_served_as_a_list(sandbox: RunningSandbox, call: str, bhid: str) -> None:
    """One line of JSON for each customer; it is no call, and is counted apart."""
    answer = post(sandbox, call, ALL)
    assert answer.headers["Content-Type"] == "application/x-ndjson"
    assert [json.loads(line) for line in answer.text.splitlines()] == [
        {bhid: "B1", "shopid": "0007", "email": "Jane@example.com"},
        {bhid: "sandbox-2", "shopid": "8", "email": "joe@example.com"},
        {bhid: "B3", "shopid": None, "email": "jane@example.com"},
    ]
    assert sandbox.calls() == []
    summary = requests.get(f"{sandbox.url}/_sandbox/summary", timeout=10).json()
    assert (summary["calls"], summary["lists"]) == (0, {"acme": 1})


def test_a_list_has_a_thousand_customers_unless_more_are_asked_for(tmp_path: Path) -> None:
    """As the vendor's; and its inputs may be in the URL."""
    path = tmp_path / "customers.csv"
    path.write_text("email\n" + "".join(f"c{number}@example.com\n" for number in range(2500)))
    with RunningSandbox(SandboxConfig(customers=path)) as sandbox:
        lengths = [
            len(post(sandbox, "ListCustomers3", query).text.splitlines())
            for query in ({"format": "JSONL"}, {"format": "jsonl", "limit": 3}, ALL)
        ]
        bearer = jwt.encode({"aud": "BH", "sub": "acme"}, SANDBOX_SECRET, "HS256", headers={"kid": SANDBOX_KEY_ID})
        url = f"{sandbox.url}/api/v2023061/acme/ListCustomers3?format=JSONL&limit=2"
        got = requests.get(url, headers={"Authorization": f"Bearer {bearer}"}, timeout=10)
    assert lengths == [1000, 3, 2500]
    assert len(got.text.splitlines()) == 2


@pytest.mark.parametrize(
    ("body", "subject", "status", "code"),
    [
        (ALL, "acme/0007", 403, "access_denied"),
        (ALL, "other", 401, "invalid_token"),
        ({"limit": -1}, "acme", 400, "invalid_request"),
        ({"format": "JSONL", "limit": "many"}, "acme", 400, "invalid_request"),
    ],
)
def test_other_questions_are_refused(
    sandbox: RunningSandbox, body: dict[str, Any], subject: str, status: int, code: str
) -> None:
    """A token of one customer reads no list, and only JSON lines are emulated."""
    answer = post(sandbox, "ListCustomers3", body, subject)
    assert (answer.status_code, answer.json()["id"]) == (status, code)


def test_a_second_reader_of_a_list_must_wait(tmp_path: Path) -> None:
    """One reader at a time, as the vendor's unpublished limits may want it; another shop's reader is none of them."""
    path = tmp_path / "customers.csv"
    path.write_text("email\n" + "".join(f"{'c' * 60}{number}@example.com\n" for number in range(200_000)))
    with RunningSandbox(SandboxConfig(customers=path)) as sandbox:
        bearer = jwt.encode({"aud": "BH", "sub": "acme"}, SANDBOX_SECRET, "HS256", headers={"kid": SANDBOX_KEY_ID})
        url = f"{sandbox.url}/api/v2023061/acme/ListCustomers3"
        headers = {"Authorization": f"Bearer {bearer}"}
        # 20 MB fit into no socket's buffer, so the list is under way for as long as nobody reads on.
        with requests.post(url, json=ALL, headers=headers, stream=True, timeout=10) as first:
            assert first.status_code == 200
            second = post(sandbox, "ListCustomers3", ALL)
    assert (second.status_code, second.headers["Retry-After"]) == (429, "1")


def test_without_a_file_there_is_no_list() -> None:
    """Anybody is a customer then, so no list would be true."""
    with RunningSandbox() as sandbox:
        answer = post(sandbox, "ListCustomers3", ALL)
        assert (answer.status_code, answer.json()["id"]) == (404, "no_customer_list")
        assert refer(sandbox, email="anybody@example.com") == "sent"


def test_the_file_may_be_a_customer_list_in_json_lines(tmp_path: Path) -> None:
    """What a list held can be rehearsed with; numbers are ids, too."""
    path = tmp_path / "customers.jsonl"
    path.write_text('{"bhid":"B1","shopid":7,"email":null,"phone":"1"}\n')
    with RunningSandbox(SandboxConfig(customers=path)) as sandbox:
        assert (refer(sandbox, shopid="7"), refer(sandbox, shopid="8")) == ("sent", UNKNOWN)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"name,phone\nJane,1\n", "its first line names none of the columns bhid, shopid and email"),
        (b"bhid,email\n,\n", "holds no customers"),
        (b"", "holds no customers"),
        (b"email\nj\xe9@example.com\n", "can't be read as UTF-8 and CSV or JSON"),
        (b"email\n" + b"a" * 200_000 + b"\n", "line 2: is longer than"),
        (b"{" + b" " * 200_000 + b"}\n", "line 1: is longer than"),
        (b'{"bhid": "B1"}\n[]\n', "line 2: is no JSON object"),
    ],
)
def test_a_file_that_names_no_customers_is_refused(tmp_path: Path, content: bytes, problem: str) -> None:
    """One line, with the file's name."""
    path = tmp_path / "customers.csv"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        RunningSandbox(SandboxConfig(customers=path))
    assert str(caught.value).startswith(str(path))
    assert problem in str(caught.value)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """As any other file."""
    with pytest.raises(InputError, match="No such file or directory"):
        RunningSandbox(SandboxConfig(customers=tmp_path / "customers.csv"))
