"""How large input may be is found out from its bytes, before anything is built of it."""

import contextlib
import json
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.making import PATIENT
from worker.model.job import Customer, Job
from worker.model.message import decode_message, encode_message
from worker.text.bounds import MESSAGE, ORDINARY, Bounds, TooLargeError, check, loads, structural_characters, weight

SMALL = Bounds(size=1000, depth=4, parts=20, text=50, number=10)

BEYOND: dict[str, tuple[bytes, str]] = {
    "bytes": (b" " * 1001, "has 1,001 bytes, and 1,000 is the most"),
    "depth": (b"[" * 5 + b"]" * 5, "nests deeper than 4 levels"),
    "depth, unfinished": (b'{"a":' * 5, "nests deeper than 4 levels"),
    "values": (json.dumps([0] * 20).encode(), "has more than 20 keys and values"),
    "keys": (json.dumps(dict.fromkeys("abcdefghij", 0)).encode(), "has more than 20 keys and values"),
    "empty objects": (b"[{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{}]", "has more than 20 keys"),
    "a text": (json.dumps({"a": "b" * 51}).encode(), "holds a text of more than 50 bytes"),
    "a key": (json.dumps({"b" * 51: "a"}).encode(), "holds a text of more than 50 bytes"),
    "a text in escapes": (b'["' + b"\\u0001" * 9 + b'"]', "holds a text of more than 50 bytes"),
    "a text without an end": (b'["' + b'\\"' * 26, "holds a text of more than 50 bytes"),
    "a text that ends in an escape": (b'["' + b"a" * 51 + b"\\", "holds a text of more than 50 bytes"),
    "a text with a quote": (b'["' + b'\\"' * 26 + b'"]', "holds a text of more than 50 bytes"),
    "digits": (b"[12345678901]", "holds a number of more than 10 characters"),
    "digits after a point": (b"[0.12345678901]", "holds a number of more than 10 characters"),
    "behind what is no JSON and is read on": (b"[NaN,-Infinity,Infinity" + b",0" * 20, "more than 20 keys and values"),
}


@pytest.mark.parametrize(("text", "problem"), BEYOND.values(), ids=BEYOND.keys())
def test_beyond_the_bounds(text: bytes, problem: str) -> None:
    """Each bound refuses what goes beyond it, by a line that says in what."""
    with pytest.raises(TooLargeError, match=problem):
        check(text, SMALL)
    with pytest.raises(TooLargeError, match=problem):
        loads(text, SMALL)


WITHIN: dict[str, bytes] = {
    "bytes": b"[1]".ljust(1000),
    "depth": b"[[[[]]]]",
    "depth again and again": b"[[[[]]],[[[]]],[[[]]]]",
    "values": json.dumps([0] * 19).encode(),
    "keys": json.dumps(dict.fromkeys("abcdefghi", 0)).encode(),
    "marks in a text": json.dumps(["[{,:}]" * 8]).encode(),
    "quotes in a text": json.dumps(['\\"[{' * 8]).encode(),
    "a text": json.dumps({"a": "b" * 50}).encode(),
    "digits": b"[1234567890]",
    "digits in a text": b'["12345678901234567890"]',
}


@pytest.mark.parametrize("text", WITHIN.values(), ids=WITHIN.keys())
def test_within_the_bounds(text: bytes) -> None:
    """Input that reaches a bound is accepted, and structural characters within strings don't count."""
    check(text, SMALL)
    assert loads(text, SMALL) == json.loads(text)


values = st.recursive(
    st.none() | st.booleans() | st.integers(-99, 10**12) | st.text(max_size=60),
    lambda inner: st.lists(inner, max_size=8) | st.dictionaries(st.text(max_size=60), inner, max_size=8),
    max_leaves=30,
)


def _parts(value: object) -> int:
    if isinstance(value, dict):
        return 1 + sum(1 + _parts(inner) for inner in value.values())
    return 1 + sum(map(_parts, value)) if isinstance(value, list) else 1


def _depth(value: object) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(_depth, inner), default=0)


def _atoms(value: object) -> list[str]:
    inner = [*value, *value.values()] if isinstance(value, dict) else value if isinstance(value, list) else None
    return [json.dumps(value)] if inner is None else [atom for part in inner for atom in _atoms(part)]


@PATIENT
@given(values, st.sampled_from([None, 1]))
def test_as_a_parser_would_count(value: object, indent: int | None) -> None:
    """For any JSON the check of its bytes agrees with counting its parts, levels and texts after parsing."""
    text = json.dumps(value, indent=indent).encode()
    longest = max((len(atom) - 2 for atom in _atoms(value) if atom.startswith('"')), default=0)
    digits = max((len(atom) for atom in _atoms(value) if not atom.startswith('"')), default=0)
    fits = (
        len(text) <= SMALL.size
        and _parts(value) <= SMALL.parts
        and _depth(value) <= SMALL.depth
        and longest <= SMALL.text
        and digits <= SMALL.number
    )
    try:
        check(text, SMALL)
    except TooLargeError:
        assert not fits
    else:
        assert fits


@pytest.mark.parametrize("text", [b"x" * 60, bytes(range(256)), b"[1," + b"y" * 60 + b"]", b"[truer" + b",0" * 20])
def test_what_is_no_json(text: bytes) -> None:
    """Bytes that no parser reads on behind are for it to refuse: they are called undecodable, not too large."""
    check(text, SMALL)
    with pytest.raises(ValueError, match=r"Expecting|Invalid|decode|delimiter") as refused:
        loads(text, SMALL)
    assert not isinstance(refused.value, TooLargeError)


@PATIENT
@given(st.binary(max_size=300) | st.text('[]{},:"\\0 ', max_size=300).map(str.encode))
def test_any_bytes(text: bytes) -> None:
    """Whatever the bytes are, they are taken or refused as a ValueError."""
    with contextlib.suppress(ValueError):
        loads(text, SMALL)


@pytest.mark.parametrize("text", [b"NaN", b"[-Infinity]", b"1e400", b'"\xff"', b'\xff\xfe"\x00'])
def test_strict(text: bytes) -> None:
    """What Python's parser takes beyond JSON in UTF-8, or could not write again, is refused."""
    with pytest.raises(ValueError, match=r"JSON|number|utf-8"):
        loads(text, SMALL)


def test_texts_as_they_are_read_from_files() -> None:
    """A text is bounded like its bytes, and half a surrogate pair in it is passed on."""
    assert loads('["\ud800 é"]', SMALL) == ["\ud800 é"]
    with pytest.raises(TooLargeError):
        loads(f'["{"é" * 26}"]', SMALL)


@pytest.mark.parametrize(
    "text", [b"[" * 900_000, b"[" + b"{}," * 300_000, b'"' + b"\\n" * 450_000 + b'"', b",1" * 450_000, b'"' * 900_000]
)
def test_looking_takes_no_memory(text: bytes) -> None:
    """However dense the bytes, finding out takes no more than a copy of them."""
    large = Bounds(size=1_000_000, depth=100, parts=10_000, text=100_000)
    tracemalloc.start()
    with pytest.raises(TooLargeError):
        check(text, large)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2 * len(text)


def nested(levels: int) -> dict[str, object]:
    """Objects of one key within each other."""
    made: dict[str, object] = {}
    for _ in range(levels):
        made = {"a": made}
    return made


DENSE: dict[str, dict[str, object]] = {
    "nothing": {},
    "lists": {"note": [[] for _ in range(300)]},
    "objects in objects": {"note": [nested(24) for _ in range(10)]},
    "keys of their own": {"note": [{f"{number}\u00e9": 0} for number in range(200)]},
    "short texts": {"note": ["\u20ac\u20ac"] * 200},
    "one wide character": {"note": "\U0001f600" + "x" * 1500},
    "fields with a wide character": {f"k{number}": "\U0001f600" + "x" * 50 for number in range(60)},
    "numbers": {"note": [number * 1000.5 for number in range(200)]},
}


@pytest.mark.parametrize("fields", DENSE.values(), ids=DENSE.keys())
def test_a_message_weighs_what_it_takes(fields: dict[str, object]) -> None:
    """As a job with its message no shape takes more memory than it weighs; an ordinary job weighs less than is free."""
    job = Job.create(shop="acme", campaign="spring", customer=Customer(shopid="c1"), channel="whatsapp")
    body = encode_message(job.model_copy(update=fields), published_at_ms=0)
    decode_message(body)
    copies = 20
    tracemalloc.start()
    held = [(copy, decode_message(copy)) for copy in (bytes(bytearray(body)) for _ in range(copies))]
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(held) == copies
    assert taken / copies <= weight(len(body), structural_characters(body))
    assert fields or weight(len(body), structural_characters(body)) < ORDINARY


def test_marks_beyond_a_job_s_parts_weigh_nothing() -> None:
    """What has more is refused unparsed, so a text of commas does not crowd its shop out."""
    assert weight(100, MESSAGE.parts) == weight(100, 10 * MESSAGE.parts)
