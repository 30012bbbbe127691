"""Tokens are what the vendor's document asks for, short-lived, kept and renewed in time."""

import threading
from typing import Any

import jwt
import pytest

from worker.clock import ManualClock
from worker.instants import SECOND
from worker.model.job import Customer
from worker.refer2.tokens import BACKDATING_SECONDS, LIFETIME_SECONDS, MOST_CUSTOMER_TOKENS, RENEWAL_SECONDS, TokenMaker
from worker.shops.config import ShopConfig, ShopTable
from worker.shops.credentials import ReadyToken, SigningKey, UnidentifiedCustomerError

NOW = 1_800_000_000
SECRET = b"a secret of at least thirty-two bytes"
KEY = SigningKey("k1", SECRET)
SHOP = ShopConfig.of("acme", KEY)
CUSTOMER_SHOP = ShopConfig.of("acme", KEY, ShopTable(token="customer"))
CUSTOMER = Customer(shopid="1234", email="ann@example.com")


@pytest.fixture
def clock() -> ManualClock:
    """A clock that stands at ``NOW``."""
    return ManualClock(NOW * SECOND)


@pytest.fixture
def maker(clock: ManualClock) -> TokenMaker:
    """A token maker by that clock."""
    return TokenMaker(clock)


def claims(token: str, secret: bytes = SECRET) -> dict[str, Any]:
    """The claims as a receiver reads them: signature, algorithm and audience checked, times left to the test."""
    options: Any = {"verify_exp": False, "verify_iat": False, "require": ["exp", "iat", "sub", "aud"]}
    return jwt.decode(token, secret, algorithms=["HS256"], audience="BH", options=options)


def test_a_shop_token(maker: TokenMaker) -> None:
    """A shop's token is signed with its secret, names the key in the header and the shop in `sub`, and nobody else."""
    token = maker.token(SHOP, CUSTOMER)
    assert jwt.get_unverified_header(token) == {"alg": "HS256", "kid": "k1", "typ": "JWT"}
    issued_at = NOW - BACKDATING_SECONDS
    assert claims(token) == {"aud": "BH", "sub": "acme", "iat": issued_at, "exp": issued_at + LIFETIME_SECONDS}


def test_a_short_secret_signs_silently(maker: TokenMaker) -> None:
    """The vendor chooses the secret's length, so a short one is no reason for warnings."""
    assert maker.token(ShopConfig.of("acme", SigningKey("k1", b"short")), CUSTOMER).count(".") == 2


def test_a_customer_token(maker: TokenMaker) -> None:
    """A customer's token names the shop's own id of the customer in `sub`, and the address in `ce`."""
    read = claims(maker.token(CUSTOMER_SHOP, CUSTOMER))
    assert (read["sub"], read["ce"]) == ("acme/1234", "ann@example.com")
    assert "ce" not in claims(maker.token(CUSTOMER_SHOP, Customer(shopid="1234")))


@pytest.mark.parametrize("customer", [Customer(), Customer(email="ann@example.com"), Customer(bhid="b", shopid="  ")])
def test_a_customer_without_shop_id(maker: TokenMaker, customer: Customer) -> None:
    """No customer's token can be made without the id in the shop system; the refusal shows no address."""
    with pytest.raises(UnidentifiedCustomerError) as refused:
        maker.token(CUSTOMER_SHOP, customer)
    assert refused.value.code == "missing_customer_identity"
    assert "example.com" not in str(refused.value)


def test_a_customer_token_loses_no_id(maker: TokenMaker) -> None:
    """A token can't carry a bhid: left out, it would never be compared with the other ids."""
    with pytest.raises(UnidentifiedCustomerError) as refused:
        maker.token(CUSTOMER_SHOP, Customer(bhid="secret-bhid", shopid="1234", email="ann@example.com"))
    assert refused.value.code == "customer_identity_does_not_match_token"
    assert not any(given in str(refused.value) for given in ("secret-bhid", "1234", "example.com"))
    assert maker.token(CUSTOMER_SHOP, Customer(bhid=" ", shopid="1234"))


def test_a_ready_made_token(maker: TokenMaker) -> None:
    """A token that was handed to us is used as it is."""
    assert maker.token(ShopConfig.of("acme", ReadyToken("made.else.where")), CUSTOMER) == "made.else.where"


@pytest.mark.parametrize("shop", [SHOP, CUSTOMER_SHOP], ids=["shop", "customer"])
def test_tokens_are_kept_and_renewed(maker: TokenMaker, clock: ManualClock, shop: ShopConfig) -> None:
    """A token serves until four fifths of its life are over, then a new one is made."""
    first = maker.token(shop, CUSTOMER)
    clock.advance((RENEWAL_SECONDS - BACKDATING_SECONDS) * SECOND - 1)
    assert maker.token(shop, CUSTOMER) is first
    clock.advance(1)
    second = maker.token(shop, CUSTOMER)
    assert claims(second)["exp"] == claims(first)["exp"] + RENEWAL_SECONDS - BACKDATING_SECONDS
    assert claims(first)["exp"] * SECOND > clock.now()


@pytest.mark.parametrize("kind", ["shop", "customer"])
def test_a_rotated_secret_counts_at_once(maker: TokenMaker, kind: str) -> None:
    """After the secret has changed no token of the old one is used, though it is still good."""
    table = ShopTable.model_validate({"token": kind})
    maker.token(ShopConfig.of("acme", KEY, table), CUSTOMER)
    fresh = b"another secret of thirty-two bytes or more"
    rotated = maker.token(ShopConfig.of("acme", SigningKey("k1", fresh), table), CUSTOMER)
    assert claims(rotated, fresh)["aud"] == "BH"


def test_customers_do_not_share(maker: TokenMaker) -> None:
    """Customers, and one customer in two shops, get tokens of their own."""
    other_shop = ShopConfig.of("beta", KEY, ShopTable(token="customer"))
    made = [
        maker.token(CUSTOMER_SHOP, Customer(shopid="1")),
        maker.token(CUSTOMER_SHOP, Customer(shopid="2")),
        maker.token(other_shop, Customer(shopid="1")),
    ]
    assert [claims(token)["sub"] for token in made] == ["acme/1", "acme/2", "beta/1"]


def test_kept_customer_tokens_are_bounded(maker: TokenMaker, clock: ManualClock) -> None:
    """The least recently used customer's token is dropped for a new one; the one just used stays."""
    first = maker.token(CUSTOMER_SHOP, Customer(shopid="first"))
    second = maker.token(CUSTOMER_SHOP, Customer(shopid="second"))
    for number in range(MOST_CUSTOMER_TOKENS - 2):
        maker.token(CUSTOMER_SHOP, Customer(shopid=str(number)))
    clock.advance(SECOND)
    assert maker.token(CUSTOMER_SHOP, Customer(shopid="first")) is first
    maker.token(CUSTOMER_SHOP, Customer(shopid="one more"))
    assert maker.token(CUSTOMER_SHOP, Customer(shopid="first")) is first
    assert maker.token(CUSTOMER_SHOP, Customer(shopid="second")) != second


def test_many_threads(maker: TokenMaker) -> None:
    """Threads that ask at once each get the token of the customer they asked for."""
    wrong: list[str] = []

    def ask(thread: int) -> None:
        for number in range(200):
            shopid = str((number * thread) % 50)
            if claims(maker.token(CUSTOMER_SHOP, Customer(shopid=shopid)))["sub"] != f"acme/{shopid}":
                wrong.append(shopid)

    threads = [threading.Thread(target=ask, args=(thread,)) for thread in range(1, 5)]
    for started in threads:
        started.start()
    for started in threads:
        started.join()
    assert wrong == []


def test_credentials_are_masked() -> None:
    """No repr shows a secret or a token, not even inside a shop's."""
    shown = repr([SHOP, ShopConfig.of("beta", ReadyToken("made.else.where"))])
    assert "thirty-two" not in shown
    assert "made.else" not in shown
    assert KEY.fingerprint not in shown


@pytest.mark.parametrize("shop", [SHOP, CUSTOMER_SHOP], ids=["shop", "customer"])
@pytest.mark.parametrize("hours", [1, -1, 24 * 365])
def test_a_corrected_clock_is_followed(maker: TokenMaker, clock: ManualClock, shop: ShopConfig, hours: int) -> None:
    """Once the machine's clock was put right, no token is from the future or over: another is signed by that time."""
    maker.token(shop, CUSTOMER)
    clock.correct(hours * 3600 * SECOND)
    read = claims(maker.token(shop, CUSTOMER))
    assert read["iat"] == NOW + hours * 3600 - BACKDATING_SECONDS
    assert read["exp"] == read["iat"] + LIFETIME_SECONDS


def test_a_small_correction_signs_nothing(maker: TokenMaker, clock: ManualClock) -> None:
    """Clocks are put right by milliseconds all the time."""
    token = maker.token(SHOP, CUSTOMER)
    clock.correct(-SECOND // 2)
    assert maker.token(SHOP, CUSTOMER) == token
