"""What Refer2 answers, or whoever stands in its place."""

import http.client
import io
import json
import re
from collections.abc import Callable
from typing import get_args

from tests.fuzz.promises import json_again, nodes
from tests.fuzz.target import Target, parts
from tests.unit.making import NOON, make_job, result_text
from worker.model.verdicts import Found, Halted, Missing, Rejected, Sent, Throttled, label_of
from worker.refer2.plain_answer import read_plain_answer
from worker.refer2.responses import LONGEST_CODE, LONGEST_ERROR_MESSAGE, LONGEST_RETRY_AFTER, Answer, Flaw, judge
from worker.refer2.verification import judge_referrals, judge_status

_CODE = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
_LABEL = re.compile(r"[a-z0-9_]{1,64}")
_FLAWS: tuple[Flaw | None, ...] = (None, *get_args(Flaw))


def answer(data: bytes) -> None:
    """An answer has a verdict, in words that are bounded; a referral in it can be written into a result."""
    came = _answer(data)
    verdict = judge(came, NOON)
    assert _LABEL.fullmatch(label_of(verdict))
    match verdict:
        case Sent(status, _, referral, share_action):
            assert 200 <= status < 300
            assert not came.flaw
            written = json.loads(result_text(verdict))
            assert written["referral"] == json_again(dict(referral))
            assert written["share_action"] == json_again(share_action)
            assert nodes(referral) <= len(came.body)
        case Throttled(_, code, _, retry_after):
            assert _CODE.fullmatch(code)
            assert retry_after is None or 0 <= retry_after <= LONGEST_RETRY_AFTER
        case Rejected(_, code, message) | Halted(_, code, message):
            assert _CODE.fullmatch(code)
            assert len(code) <= LONGEST_CODE
            assert len(message or "") <= LONGEST_ERROR_MESSAGE
        case _:
            assert _CODE.fullmatch(verdict.code)


def read_back(data: bytes) -> None:
    """What a customer's referrals are answered with is found, missing or unknown; a token's state is told or not."""
    came = _answer(data)
    for job in (make_job(channel="email", destination="friend@example.org"), make_job(channel="sms")):
        match judge_referrals(came, job, NOON):
            case Found(status, referral):
                assert 200 <= status < 300
                assert referral["channel"] == job.channel
                json_again(dict(referral))
            case Missing():
                assert not came.flaw
            case told:
                assert _CODE.fullmatch(told.code)
    assert not isinstance(judge_status(came, NOON), Sent)


def retry_after(data: bytes) -> None:
    """The header is a wait of up to a day and an hour, or it is none."""
    text = data.decode("latin-1")
    verdict = judge(Answer(429, text, b""), NOON)
    assert isinstance(verdict, Throttled)
    assert verdict.retry_after is None or 0 <= verdict.retry_after <= LONGEST_RETRY_AFTER


def plain_answer(data: bytes) -> None:
    """What is taken for a plain answer means the same to http.client, which would keep the connection, too, and leave
    nothing on it. Whether it comes in one piece or two makes no difference.
    """
    came = read_plain_answer(_coming(data))
    half = len(data) // 2
    if came is not None and half > 8:
        assert read_plain_answer(_coming(data[:half], data[half:])) == came
    if came is None:
        return
    connection = _Connection(data)
    response = http.client.HTTPResponse(connection)  # type: ignore[arg-type] # all that it needs of a socket
    response.begin()
    assert response.version == 11
    assert not response.will_close
    assert response.status == came.status
    assert response.headers.get_all("Retry-After") == (None if came.retry_after is None else [came.retry_after])
    assert response.headers.get("Content-Encoding", "identity") == "identity"
    assert response.read() == came.body
    assert connection.file.read() == b""


def _coming(*pieces: bytes) -> Callable[[], bytes]:
    left = list(pieces)
    return lambda: left.pop(0) if left else b""


class _Connection:
    """A connection that holds the bytes and ends."""

    def __init__(self, data: bytes) -> None:
        self.file = _File(data)

    def makefile(self, mode: str) -> io.BytesIO:
        assert mode == "rb"
        return self.file


class _File(io.BytesIO):
    def close(self) -> None:
        """Stay open, so that what is left can be seen."""


def _answer(data: bytes) -> Answer:
    head, wait, body = parts(data, 3)
    digits = "".join(char for char in head.decode("latin-1") if char in "0123456789")
    # http.client takes no other status.
    status = 100 + int(digits[:3] or 0) % 900
    flaw = _FLAWS[len(head) % len(_FLAWS)] if head.endswith(b"!") else None
    return Answer(status, wait.decode("latin-1") or None, body, flaw)


_WORDS = (
    b"\n--\n",
    b'{"id":"rate_limit_exceeded","message":"for this customer"}',
    b'{"referral":{',
    b'"share_action":',
    b'{"referrals":[{"channel":"email","destination":"',
    b'"updated_at":',
    b'"status":"expired"',
    b"\\ud800",
    b"1e999",
    b"-0",
    b"[[[[[[[[",
    b"Infinity",
    b"\xef\xbb\xbf",
)
_HEADS = (
    b"HTTP/1.1 200 OK\r\n",
    b"HTTP/1.0",
    b"Content-Length: 2\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Content-Encoding: ",
    b"Connection: ",
    b"keep-alive",
    b"close",
    b"Retry-After: 3\r\n",
    b"\r\n\r\n",
    b"0\r\n\r\n",
    b"2\r\n{}\r\n",
    b"{}",
    b"\n",
    b"\r",
    b" ",
    b"\t",
    b"\0",
    b";",
    b"\x0b",
    b"\x85",
    b"From ",
)
_DATES = (
    b"Mon, 02 Nov 2026 12:00:30 GMT",
    b" +9999",
    b" -2359",
    b" 0001 ",
    b" 9999 ",
    b"Jan",
    b":",
    b"(",
    b"\xb2",
    b"0.000000001",
    b"999999999999",
)

TARGETS = (
    Target("answer", answer, _WORDS),
    Target("plain_answer", plain_answer, _HEADS),
    Target("read_back", read_back, _WORDS),
    Target("retry_after", retry_after, _DATES, longest=200),
)
