"""The wire formats: the job and its id, the message that carries it, the result."""

import hashlib
import json
import re
import traceback
import unicodedata
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.unit.making import PATIENT, foreign_job, make_job
from worker.errors import DeadLetterError, DeadReason, UsageError
from worker.limits.token_bucket import Rate, ShopLimits
from worker.model.job import KNOWN_CHANNELS, Customer, Job, job_id
from worker.model.message import decode_message, encode_message
from worker.model.names import SLUG
from worker.model.result import Result
from worker.model.validation import explain
from worker.scheduling.delivery import Delivery
from worker.store.protocol import AdmitRequest

NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)
ADDRESS = "ann@example.com"
WORDS = st.characters(exclude_categories=["Cs"])


def id_of(canonical: str) -> str:
    """The id that the contract gives to this JSON text."""
    return hashlib.sha256(canonical.encode("utf-8")).hexdigest()[:32]


IDENTITIES: list[tuple[dict[str, Any], str]] = [
    (
        {"customer": Customer(shopid="1234"), "channel": "whatsapp"},
        '["acme","spring",0,null,"1234",null,"whatsapp",null]',
    ),
    (
        {"customer": Customer(bhid="CUS1", shopid="1", email="Ann@Example.COM"), "channel": "email", "run": 3},
        '["acme","spring",3,"CUS1","1","ann@example.com","email",null]',
    ),
    (
        {"customer": Customer(bhid="  b "), "channel": " email ", "destination": "\tBob@EXAMPLE.com\n"},
        '["acme","spring",0,"b",null,null,"email","bob@example.com"]',
    ),
    (
        {"customer": Customer(bhid="", shopid="   ", email="\u00a0"), "channel": "sms", "destination": " "},
        '["acme","spring",0,null,null,null,"sms",null]',
    ),
    (
        {"customer": Customer(email="Zoe\u0308@example.com"), "channel": "sms", "campaign": "\u212b\u0301te\u0301"},
        '["acme","\u01fat\u00e9",0,null,null,"zo\u00eb@example.com","sms",null]',
    ),
    (
        {"customer": Customer(shopid='a"b\\c/d\u2028\U0001f600'), "channel": "sms"},
        '["acme","spring",0,null,"a\\"b\\\\c/d\u2028\U0001f600",null,"sms",null]',
    ),
]
"""What makes a job, and the JSON text whose hash its id is: written out by hand, not made by the code under test."""


@pytest.mark.parametrize(("fields", "canonical"), IDENTITIES)
def test_job_id_formula(fields: dict[str, Any], canonical: str) -> None:
    """The id is the hash of the compact array: trimmed, NFC, addresses lower-cased, null for what is absent."""
    job = foreign_job(**fields)
    assert job.job_id == job.expected_id() == id_of(canonical)


def test_job_id_as_published() -> None:
    """One id is pinned in full, for producers in other languages to check theirs against."""
    made = job_id("acme", "refer-a-friend", 0, Customer(shopid="1234"), "whatsapp", None)
    assert made == "da91e59d135005a2ba51eb7994d81e8d"


def test_what_the_id_leaves_out() -> None:
    """Line, row, reference, sender and times change nothing about which referral a job is."""
    plain = make_job(line=None)
    dressed = make_job(line=7, row=5, reference="row 7", sender="bob@example.com", published_at=NOON, not_after=NOON)
    dressed = dressed.model_copy(update={"window": "09:00-18:00 UTC"})
    assert dressed.job_id == plain.job_id


@pytest.mark.parametrize(
    "fields",
    [
        {"shop": "acme2"},
        {"campaign": "autumn"},
        {"run": 1},
        {"customer": Customer(shopid="ann1@example.com")},
        {"channel": "sms"},
        {"destination": "bob@example.com"},
    ],
)
def test_what_the_id_depends_on(fields: dict[str, Any]) -> None:
    """Each field of the identity makes another id."""
    assert make_job(**fields).job_id != make_job().job_id


texts = st.text(st.characters(codec="utf-8"), max_size=20)


@PATIENT
@given(bhid=texts, shopid=texts, email=texts, destination=st.none() | texts, reference=texts)
def test_any_text_survives_the_message(
    bhid: str, shopid: str, email: str, destination: str | None, reference: str
) -> None:
    """Whatever a job's fields hold, a worker decodes the same job with the id that the producer gave it."""
    job = foreign_job(
        customer=Customer(bhid=bhid, shopid=shopid, email=email), destination=destination, reference=reference
    )
    assert decode_message(encode_message(job, published_at_ms=1)) == job


anything = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts
extras = st.dictionaries(st.text("abc", min_size=8, max_size=9), anything | st.lists(anything, max_size=3), max_size=3)


@PATIENT
@given(
    one=st.text(max_size=20) | st.text('\x00\x1f\x7f"\\/\u2028\u212bA\u0301 ', max_size=20),
    two=texts,
    run=st.integers(0, 2**53 - 1),
    extra=extras,
)
def test_texts_are_written_as_json_writes_them(one: str, two: str, run: int, extra: dict[str, Any]) -> None:
    """Id and message are to the byte what the standard library's encoder makes of the documented array and object."""
    one = one.encode(errors="ignore").decode()

    def canonical(text: str) -> str | None:
        return unicodedata.normalize("NFC", text.strip()) or None

    identity = [
        canonical(one),
        canonical(two),
        run,
        canonical(two),
        None,
        (canonical(one) or "").lower() or None,
        *"ab",
    ]
    written = json.dumps(identity, ensure_ascii=False, separators=(",", ":"))
    assert job_id(one, two, run, Customer(bhid=two, email=one), "a", "b") == id_of(written)
    job = foreign_job(customer=Customer(bhid=one, shopid=two), reference=one, run=run, line=7, published_at=NOON)
    job = Job.model_validate(job.model_dump() | {"schema": 1} | extra)
    envelope = {
        "queue_name": "referrals",
        "actor_name": "refer",
        "args": [],
        "kwargs": {"job": job.model_dump(mode="json", exclude_none=True)},
        "options": {},
        "message_id": job.job_id,
        "message_timestamp": 1,
    }
    written = json.dumps(envelope, ensure_ascii=False, separators=(",", ":"))
    assert encode_message(job, published_at_ms=1) == written.encode()


def test_message_to_the_byte() -> None:
    """The message is the documented one, to the byte."""
    job = make_job(
        customer=Customer(shopid="1234", email="Ann@example.com"),
        channel="email",
        destination="bób@example.com",
        reference="row 7",
        line=7,
        row=5,
        published_at=NOON,
    )
    assert encode_message(job, published_at_ms=1_793_620_800_123).decode() == (
        '{"queue_name":"referrals","actor_name":"refer","args":[],"kwargs":{"job":{'
        '"schema":1,"job_id":"9633e5ac4daad8624d7804186517a422","campaign":"spring","shop":"acme","run":0,"line":7,'
        '"row":5,"reference":"row 7","customer":{"shopid":"1234","email":"Ann@example.com"},"channel":"email",'
        '"destination":"bób@example.com","published_at":"2026-11-02T12:00:00Z"}},"options":{},'
        '"message_id":"9633e5ac4daad8624d7804186517a422","message_timestamp":1793620800123}'
    )


def test_smallest_message() -> None:
    """A producer needs to send no more than the required fields of the job and the actor's name."""
    made = id_of('["acme","spring",0,null,"1234",null,"whatsapp",null]')
    fields = {"schema": 1, "job_id": made, "campaign": "spring", "shop": "acme", "channel": "whatsapp"}
    body = {"actor_name": "refer", "kwargs": {"job": {**fields, "customer": {"shopid": "1234"}}}}
    job = decode_message(json.dumps(body).encode())
    assert (job.run, job.line, job.customer.identity()) == (0, None, {"shopid": "1234"})


def message(job: dict[str, Any] | None = None, **envelope: Any) -> bytes:
    """A good message's body, with fields of the job or of its envelope replaced."""
    whole = json.loads(encode_message(make_job(), published_at_ms=1))
    whole["kwargs"]["job"].update(job or {})
    return json.dumps({**whole, **envelope}).encode()


def test_unknown_fields_are_kept() -> None:
    """What a newer producer wrote passes through an older worker, in the job and in its customer."""
    body = message({"tier": {"level": 3}, "customer": {"email": "ann1@example.com", "phone": "555-0100"}})
    job = decode_message(body)
    again = json.loads(encode_message(job, published_at_ms=1))["kwargs"]["job"]
    assert again["tier"] == {"level": 3}
    assert again["customer"] == {"email": "ann1@example.com", "phone": "555-0100"}


def test_envelope_decides_nothing() -> None:
    """A foreign queue name, an eta and unknown parts of the envelope neither matter nor harm."""
    body = message(queue_name="elsewhere", options={"eta": 1 << 50}, message_id=None, args=[1], extra={})
    assert decode_message(body) == make_job()


DEAD: list[tuple[DeadReason, bytes]] = [
    ("undecodable", b""),
    ("undecodable", b"\x00\xff\xfe"),
    ("undecodable", b"NaN"),
    ("undecodable", b"[1, 2]"),
    ("undecodable", b'"text"'),
    ("undecodable", b"{}"),
    ("undecodable", message()[:-1]),
    ("undecodable", message() + b"{}"),
    ("undecodable", message().decode().encode("utf-16")),
    ("undecodable", message().replace(b"spring", b"sp\xffing")),
    ("undecodable", message({"reference": "\ud800"})),
    ("undecodable", message({"unknown": "\udfff"})),
    ("undecodable", message({"unknown": 0}).replace(b'"unknown": 0', b'"unknown": ' + b"[" * 20)),
    ("oversized", message({"unknown": 0}).replace(b'"unknown": 0', b'"unknown": ' + b"[" * 100)),
    ("oversized", message({"unknown": 0}).replace(b'"unknown": 0', b'"unknown": ' + b"9" * 100)),
    ("oversized", message({"unknown": "u" * 10_000_000, "run": 1})),
    ("oversized", message({"reference": "r" * 10_000_000})),
    ("oversized", message({"unknown": "u" * 20_000})),
    ("oversized", message({"unknown": ["u" * 5_000] * 2})),
    ("oversized", message({"unknown": [{}] * 1_000})),
    ("oversized", message({f"unknown-{number}": 1 for number in range(65)})),
    ("oversized", message({"customer": {f"unknown-{number}": 1 for number in range(65)}})),
    ("oversized", message({"customer": {ADDRESS * 700: 1}})),
    ("oversized", message(options=[0] * 2_000)),
    ("undecodable", message(kwargs=[])),
    ("undecodable", message(actor_name=None)),
    ("unknown_actor", message(actor_name="resize_image")),
    ("unknown_actor", message(actor_name="resize_image", kwargs={"picture": 1})),
    ("unknown_actor", message(actor_name="r" * 10_000)),
    ("bad_schema", message(kwargs={})),
    ("bad_schema", message(kwargs={"job": None})),
    ("bad_schema", message({"schema": 2})),
    ("bad_schema", message({"job_id": "0" * 31})),
    ("bad_schema", message({"job_id": make_job().job_id.upper()})),
    ("bad_schema", message({"shop": "a/b"})),
    ("bad_schema", message({"shop": "acme\n"})),
    ("bad_schema", message({"shop": "s" * 64})),
    ("bad_schema", message({"campaign": ""})),
    ("bad_schema", message({"campaign": "c" * 201})),
    ("bad_schema", message({"channel": None})),
    ("bad_schema", message({"run": -1})),
    ("bad_schema", message({"line": float("nan")})),
    ("bad_schema", message({"run": 1e400})),
    ("bad_schema", message({"run": 2**53})),
    ("bad_schema", message({"line": 2**53})),
    ("bad_schema", message({"unknown": float("nan")})),
    ("bad_schema", message({"unknown": [0]}).replace(b"[0]", b"[1e400]")),
    ("bad_schema", message({"not_after": "2026-11-02T12:00:00"})),
    ("bad_schema", message({"not_after": "tomorrow"})),
    ("bad_schema", message({"customer": {"email": "a" * 321}})),
    ("bad_schema", message({"customer": None})),
    ("bad_schema", message({"reference": "r" * 10_000})),
    ("bad_job_id", message({"job_id": "0" * 32})),
    ("bad_job_id", message({"destination": "bob@example.com"})),
    ("bad_job_id", message({"shop": "other"})),
    ("bad_job_id", message({"unknown": "u" * 8_000, "run": 1})),
]


@pytest.mark.parametrize(("reason", "body"), DEAD, ids=lambda value: value if isinstance(value, str) else "body")
def test_dead_letter_reasons(reason: DeadReason, body: bytes) -> None:
    """A body that no retry can process is refused with its reason in one short line, and nothing else is raised."""
    with pytest.raises(DeadLetterError) as refusal:
        decode_message(body)
    assert refusal.value.reason == reason
    assert str(refusal.value).startswith(f"{reason}: ")
    assert len(str(refusal.value)) < 500
    assert "\n" not in str(refusal.value)


@PATIENT
@given(st.binary(max_size=200) | texts.map(str.encode))
def test_any_bytes_are_refused(body: bytes) -> None:
    """No bytes at all make decoding raise anything but a dead letter."""
    with pytest.raises(DeadLetterError):
        decode_message(body)


def test_as_large_as_a_job_may_be() -> None:
    """Fields of a producer's own are taken up to their bounds, and so are its texts in escapes and its numbers."""
    largest = {f"unknown-{number}": [number] * 10 for number in range(63)} | {"unknown": "u" * 8_000}
    known = {"reference": "\U0001f600" * 1024, "line": 2**53 - 1}
    body = message({**largest, **known, "customer": {"email": "ann1@example.com", "phone": "5" * 8_000}})
    job = decode_message(body.ljust(64 * 1024))
    assert job.model_extra == largest
    assert (job.reference, job.line) == ("\U0001f600" * 1024, 2**53 - 1)


def test_publishing_keeps_the_bounds() -> None:
    """What a worker would refuse for its size is refused where it is made, by a line without its values."""
    for unknown in ("u" * 9_000, {str(number): number for number in range(600)}, float("inf")):
        with pytest.raises(UsageError, match=r"job [0-9a-f]{32}: its message") as refusal:
            encode_message(make_job().model_copy(update={"unknown": unknown}), published_at_ms=1)
        assert "uuu" not in str(refusal.value)


def test_the_last_run() -> None:
    """A job whose run is the largest there is has no next one; nothing else is raised for it."""
    with pytest.raises(DeadLetterError, match="there is none after that"):
        make_job(run=2**53 - 1).replay(not_after=None)


def test_refusals_hold_no_values() -> None:
    """Neither a dead letter's text nor its traceback shows an address, whatever field was at fault."""
    bad = {"customer": {"email": ADDRESS * 30}, "destination": [ADDRESS], "not_after": ADDRESS, "run": ADDRESS}
    with pytest.raises(DeadLetterError) as refusal:
        decode_message(message(bad))
    printed = "".join(traceback.format_exception(refusal.value))
    assert "kwargs.job.customer.email" in refusal.value.detail
    assert "example" not in printed


def test_create_refuses_without_values() -> None:
    """What can't be part of a job is refused by a text that names the fields and no values."""
    with pytest.raises(ValidationError) as refusal:
        make_job(shop="not a slug", reference="r" * 2000, sender=f"{ADDRESS}{'x' * 400}")
    assert explain(refusal.value).startswith("shop: ")
    assert "sender: String should have at most 320 characters" in explain(refusal.value)
    assert ADDRESS not in str(refusal.value) + explain(refusal.value)


@pytest.mark.parametrize(
    ("fields", "refusal"),
    [
        ({"customer": Customer()}, "customer: names nobody; give its bhid, shopid or email"),
        ({"customer": Customer(bhid="", shopid=" ", email="\u00a0")}, "customer: names nobody"),
        ({"customer": Customer(email="no at")}, "customer.email: is no e-mail address"),
        ({"customer": Customer(shopid="7", email="c11..x@docomo.ne.jp")}, "customer.email: is no e-mail address"),
        ({"channel": "email"}, "destination: is missing; the channel email needs the address"),
        ({"channel": " email ", "destination": " "}, "destination: is missing"),
        ({"channel": "email", "destination": "bob at example"}, "destination: is no e-mail address"),
    ],
)
def test_create_refuses_what_nobody_means(fields: dict[str, Any], refusal: str) -> None:
    """A job of nobody, an address that is none and an e-mail to nobody are refused by the field, without a value."""
    with pytest.raises(ValueError, match=f"^{re.escape(refusal)}") as refused:
        make_job(**fields)
    assert not {"at", "docomo", "bob"} & set(re.findall(r"\w+", str(refused.value)))


def test_one_mailbox_is_one_job() -> None:
    """However its addresses are spelled, a job has one id and sends one spelling; plain ones stay as they are."""
    jobs = [
        make_job(customer=Customer(email=f" {email}"), channel="email", destination=destination)
        for email, destination in [
            ("c5@example.org", "d5@example.org"),
            ("c5@example。org", "ｄ５＠ｅｘａｍｐｌｅ.org"),
        ]
    ]
    assert len({job.job_id for job in jobs}) == 1
    assert {(job.customer.email, job.destination) for job in jobs} == {("c5@example.org", "d5@example.org")}
    assert make_job(customer=Customer(email="Ann@Example.com")).customer.email == "Ann@Example.com"


@pytest.mark.parametrize("field", ["campaign", "channel", "reference", "destination", "sender"])
def test_lone_surrogates_make_no_job(field: str) -> None:
    """A string that has no UTF-8 is a ValueError where the job is made, not later where it is sent."""
    with pytest.raises(ValueError, match=r"surrogates not allowed|unicode|nobody can see"):
        make_job(1, **{field: "a\ud800"})


UNSEEN = ["a\x1b[2J", "a\nb", "a\x7f", "a\x9b", "a\u200bb", "a\u202eb", "a\u2028", "\ufeffa", "a\U000e0041"]


@pytest.mark.parametrize("name", UNSEEN)
def test_campaigns_have_readable_names(name: str) -> None:
    """A new job's campaign is a line that can be read; one of an older producer's is taken as it is."""
    with pytest.raises(ValueError, match="campaign: holds control"):
        make_job(1, campaign=name)
    older = make_job(1).model_copy(update={"campaign": name})
    older = older.model_copy(update={"job_id": older.expected_id()})
    assert decode_message(encode_message(older, published_at_ms=0)).campaign == name


@pytest.mark.parametrize("name", ["Frühling ❤️", "春", "spring\u00a0sale", "عيد", "a:smile: [b]"])
def test_campaigns_are_named_in_any_language(name: str) -> None:
    """Letters, marks, emoji and spaces of any script can be seen."""
    assert make_job(1, campaign=name).campaign == name


def test_slug() -> None:
    """A slug is one path segment and one word of a routing key."""
    assert all(SLUG.fullmatch(slug) for slug in ("a", "A-1_b", "0", "s" * 63))
    assert not any(SLUG.fullmatch(slug) for slug in ("", "-a", "_a", "a.b", "a/b", "a b", "é", "s" * 64, "a\n"))


def test_unlisted_channel_passes() -> None:
    """The vendor adds channels without notice, so one that isn't known is no reason to refuse a job."""
    assert "carrier-pigeon" not in KNOWN_CHANNELS
    assert make_job(channel="carrier-pigeon").channel == "carrier-pigeon"


@pytest.mark.parametrize(
    ("customer", "key"),
    [
        (Customer(bhid=" B1 ", shopid="1", email="a@example.com"), "b:B1"),
        (Customer(bhid="", shopid=" 1", email="a@example.com"), "s:1"),
        (Customer(email=" A@Example.com "), "e:a@example.com"),
        (Customer(), ""),
        (Customer(bhid=" ", shopid="1"), "s:1"),
        (Customer(email=" "), ""),
        (Customer(bhid="Ame\u0301lie"), "b:Am\xe9lie"),
        (Customer(shopid="e\u0301"), "s:\xe9"),
        (Customer(email="AME\u0301lie@example.com"), "e:am\xe9lie@example.com"),
        (Customer(email="am\xe9lie@example.com"), "e:am\xe9lie@example.com"),
    ],
)
def test_customer_key(customer: Customer, key: str) -> None:
    """Limits per customer are counted by the strongest id that is given, in the form that it has in the job id."""
    assert customer.key == key


def result(**fields: Any) -> Result:
    """The result of a job that was sent."""
    usual: dict[str, Any] = {
        "job_id": make_job().job_id,
        "campaign": "spring",
        "shop": "acme",
        "customer": Customer(email=ADDRESS),
        "channel": "email",
        "destination": "bob@example.com",
        "sender": "cyd@example.com",
        "outcome": "sent",
        "attempts": 1,
        "finished_at": NOON,
    }
    return Result(**{**usual, **fields})


def test_nothing_prints_an_address() -> None:
    """No repr or str of what is logged or ends up in a traceback shows an address."""
    job = make_job(
        customer=Customer(bhid="CUS1", shopid="1234", email=ADDRESS),
        destination="bob@example.com",
        sender="cyd@example.com",
        reference="dan@example.com",
    )
    limits = ShopLimits(Rate(1, 1), 1, Rate(1, 1), 1)
    delivery = Delivery(job, AdmitRequest("acme", "", job.job_id, limits, 0))
    answer = result(message="for ann@example.com", referral={"destination": "bob@example.com"})
    shown = [job, job.customer, answer, delivery, delivery._message, delivery.args, delivery.kwargs, [job]]
    for thing in shown:
        for text in (repr(thing), str(thing), f"{thing}"):
            assert "example.com" not in text
            assert "1234" not in text
            assert "CUS1" not in text
    assert job.job_id in repr(job)
    assert job.job_id in repr(delivery._message)


def test_job_is_a_value() -> None:
    """A job is equal to its copy through JSON, and can't be changed."""
    job = make_job(published_at=NOON)
    assert Job.model_validate_json(job.model_dump_json()) == job
    with pytest.raises(ValidationError):
        job.shop = "other"  # type: ignore[misc]


def test_a_window_goes_with_the_message() -> None:
    """A job without one has the same message as ever; one that can't be read makes a dead letter."""
    job = make_job(window="Mon-Fri 09:00-18:00 Europe/Vienna")
    assert decode_message(encode_message(job, published_at_ms=1)) == job
    assert b"window" not in encode_message(make_job(), published_at_ms=1)
    for window in ("Mon-Fri 09:00-18:00", "09:00-18:00 Europe/Nowhere", " " * 201):
        body = encode_message(job, published_at_ms=1).replace(b"Mon-Fri 09:00-18:00 Europe/Vienna", window.encode())
        with pytest.raises(DeadLetterError) as caught:
            decode_message(body)
        assert caught.value.reason == "bad_schema"
        assert "window" in caught.value.detail
