"""How suppressed addresses are hashed: as job ids compare addresses, and by a key."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.making import PATIENT, make_job
from worker.model.addresses import normalized_email
from worker.model.job import Customer
from worker.model.suppression import SIZE, AddressKey, packed, unpacked

KEY = AddressKey(b"a secret of sixteen")

WIDE = {ord(letter): ord(letter) + 0xFEE0 for letter in "abcdefghijklmnopqrstuvwxyz@."}
"""To the full-width forms of letters."""

spellings = st.sampled_from([str, str.upper, str.title, lambda text: f"  {text}\t", lambda text: text.translate(WIDE)])

locals_ = st.text(st.sampled_from("abcäöß.é+-_01ñИ日"), min_size=1, max_size=12)

domains = st.sampled_from(
    ["example.com", "EXAMPLE.org", "bücher.example", "xn--bcher-kva.example", "mail.日本.example"]
)


def job_id(address: str) -> str | None:
    """The id of the job of the customer with this address; None if no job can be made for it."""
    try:
        return make_job(customer=Customer(email=address)).job_id
    except ValueError:
        return None


@PATIENT
@given(locals_, domains, spellings, spellings)
def test_two_spellings_are_one_address_where_they_are_one_job(
    local: str, domain: str, one: object, other: object
) -> None:
    """And two jobs' addresses are two."""
    first, second = (spell(f"{local}@{domain}") for spell in (one, other))  # type: ignore[operator]  # functions of str
    ids = job_id(first), job_id(second)
    if None not in ids:
        assert (ids[0] == ids[1]) == (KEY.hashed(first) == KEY.hashed(second))


@PATIENT
@given(locals_, domains, spellings)
def test_a_job_carries_what_a_list_has(local: str, domain: str, spell: object) -> None:
    """Whatever spelling is put on the list, the address in the job, as its producer spells it, has the same hash."""
    given_address = spell(f"{local}@{domain}")  # type: ignore[operator]  # a function of str
    if job_id(given_address) is not None:
        made = make_job(customer=Customer(email=given_address), channel="email", destination=given_address)
        assert KEY.of_job(made.customer.email, made.destination) == (KEY.hashed(given_address),)


@PATIENT
@given(locals_, locals_)
def test_normalising_twice_changes_nothing(one: str, other: str) -> None:
    """A message of another producer may hold any spelling, and a list the normal one."""
    for address in (f"{one}@example.com", f"{other}@bücher.example"):
        normal = normalized_email(address)
        if normal is not None:
            assert KEY.hashed(address) == KEY.hashed(normal)


def test_hashes_customer_and_destination() -> None:
    """Each address once, those that there are."""
    ann, ben = KEY.hashed("ann@example.com"), KEY.hashed("ben@example.com")
    assert KEY.of_job("Ann@Example.com", "ben@example.com") == (ann, ben)
    assert KEY.of_job("ann@example.com", "ann@example.com") == (ann,)
    assert KEY.of_job(None, "ben@example.com") == (ben,)
    assert KEY.of_job("ann@example.com", "") == (ann,)
    assert KEY.of_job(None, None) == ()


def test_needs_the_key_to_test_an_address() -> None:
    """Two keys give two hashes and two fingerprints, and one key always the same."""
    other = AddressKey(b"another of sixteen")
    assert other.hashed("ann@example.com") != KEY.hashed("ann@example.com")
    assert other.fingerprint != KEY.fingerprint == AddressKey(b"a secret of sixteen").fingerprint
    assert b"ann" not in KEY.hashed("ann@example.com")


@given(st.lists(st.emails()))
def test_packs_hashes(addresses: list[str]) -> None:
    """Into eight bytes each, and back."""
    hashes = [KEY.hashed(address) for address in addresses]
    assert unpacked(packed(hashes)) == hashes
    assert len(packed(hashes)) == SIZE * len(hashes)


def test_refuses_half_a_hash() -> None:
    """Somebody else has written into the journal."""
    with pytest.raises(ValueError, match="whole number"):
        unpacked(b"12345678a")
