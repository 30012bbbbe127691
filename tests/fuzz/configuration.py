"""What an operator writes: the shops file, settings, URLs, options."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC
from pathlib import Path

from pydantic import SecretStr, ValidationError

from tests.fuzz.messages import NOW
from tests.fuzz.promises import CANARY, told
from tests.fuzz.target import SEPARATOR, Target, folder
from worker.campaigns.columns import parse_mapping
from worker.campaigns.consent import parse_consent
from worker.cli.times import after, ago
from worker.errors import ConfigurationError, UsageError
from worker.rabbitmq.connection import parameters
from worker.settings import PREFIX, Settings, load, urls_of
from worker.shops.file import listed_shops, read_shops
from worker.store.redis.client import Server

_INT64 = range(-(1 << 63), 1 << 63)

_PLACE = Path("shops.toml")


def shops(data: bytes) -> None:
    """A shops file is refused in one line, or its shops have limits that every store can count by."""

    def read(path: Path, _most: int) -> bytes:
        return data if path == _PLACE else b"a-secret-that-nobody-sees"

    try:
        found = read_shops(_PLACE, read)
    except ConfigurationError as error:
        told(error)
        return
    assert found
    for slug, shop in found.items():
        assert slug == shop.slug
        limits = shop.limits
        numbers = [
            *(value for rate in (limits.shop, limits.customer, limits.reads) for value in (rate.interval, rate.burst)),
            limits.shop_per_day,
            limits.customer_per_day,
            limits.reads_per_day,
            shop.max_elapsed,
            shop.max_in_flight,
            shop.weight,
        ]
        assert all(number >= 1 and number * (limits.shop.burst + 1) in _INT64 for number in numbers), numbers
        # As sums of instants: a bucket of a store is full at an instant this far ahead.
        assert 2 * limits.shop.interval * limits.shop.burst in _INT64
        assert "a-secret" not in repr(shop)
    with folder() as place:
        path = place / "shops.toml"
        path.write_bytes(data)
        assert list(listed_shops(path)) == list(found)


def settings(data: bytes) -> None:
    """Settings are refused in one line that holds no password, or the broker's parameters can be made of them."""
    variables = {}
    for line in data.split(SEPARATOR):
        name, _, value = line.decode(errors="surrogateescape").partition("=")
        if name.lower() in Settings.model_fields and "\0" not in value:
            variables[PREFIX + name.upper()] = value
    with _environment(variables):
        try:
            Settings()
        except ValidationError:
            # Only now, since what it loads it hides for good, which here would be every piece of an input.
            with suppress(ConfigurationError):
                try:
                    load()
                except ConfigurationError as error:
                    told(error)
                    raise
                raise AssertionError("load takes what the settings refuse") from None


def amqp_url(data: bytes) -> None:
    """An AMQP URL is refused in one line that holds no password, or it names a host and a port."""
    text = _as_in_the_environment(data)
    with suppress(ValidationError):
        Settings(amqp_url=SecretStr(text))
        try:
            found = parameters(text, name="fuzz")
        except ConfigurationError as error:
            _told_of_url(error, text)
            return
        assert len(found.nodes) == len(urls_of(text))
        for node in found.nodes:
            assert node.host
            assert 0 < node.port < 65_536
            assert CANARY not in repr(found)


def redis_url(data: bytes) -> None:
    """A URL of the store is refused in one line that holds no password, or a client can be made of it."""
    text = _as_in_the_environment(data)
    with suppress(ValidationError):
        Settings(redis_url=SecretStr(text))
        try:
            server = Server(text, {})
        except ConfigurationError as error:
            _told_of_url(error, text)
            return
        server.close()


def options(data: bytes) -> None:
    """An option is refused in one line, or it means what can be used."""
    text = data.decode(errors="surrogateescape")
    for make in (parse_consent, lambda text: parse_mapping([text])):
        try:
            make(text)
        except UsageError as error:
            told(error)
    for moment in (after, ago):
        try:
            assert moment(text, "--expires", NOW).tzinfo is UTC
        except UsageError as error:
            told(error)


def _told_of_url(error: ConfigurationError, text: str) -> None:
    if f":{CANARY}@" in text:
        told(error)
    else:
        # Where the input has the canary in another place, it is no password.
        told(ConfigurationError(str(error).replace(CANARY, "")))


def _as_in_the_environment(data: bytes) -> str:
    return data.replace(b"\0", b"").decode(errors="surrogateescape")


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    # Settings are read from the process's own environment and nowhere else.
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


_SHOPS = (
    b"[defaults]\n",
    b"[shops.acme]\n",
    b'key_id = "k1"\n',
    b'secret_file = "a.key"\n',
    b'token_file = "a.token"\n',
    b'token = "customer"\n',
    b'on_unknown = "verify"\n',
    b'base_url = "https://app.example.org"\n',
    b'day_resets_at = "00:00"\n',
    *(
        f"{name} = ".encode()
        for name in ("per_second", "burst", "per_day", "customer_per_second", "share", "max_elapsed_seconds", "weight")
    ),
    b"1e308",
    b"1e-308",
    b"9223372036854775807",
    b"inf",
    b"nan",
    b"true",
    b"{}",
    b'"""',
    b"shops.a.b = ",
)
_URL = (
    b"amqp://",
    b"amqps://",
    b"redis://",
    b"rediss://",
    b"unix://",
    b"user:" + CANARY.encode() + b"@",
    b"rabbit.example.org",
    b":5672",
    b"/%2f",
    b"?heartbeat=",
    b"&cacertfile=",
    b"&ssl_options=",
    b"&connection_attempts=",
    b"&blocked_connection_timeout=",
    b"&client_properties=",
    b"?db=",
    b"&ssl_cert_reqs=none",
    b"[::1]",
    b"%",
    b"#",
    b",",
)

TARGETS = (
    Target("shops", shops, _SHOPS),
    Target(
        "settings",
        settings,
        (SEPARATOR, *(f"{SEPARATOR.decode()}{name}=".encode() for name in Settings.model_fields), *_URL, b"1e999"),
        longest=1024,
    ),
    Target("amqp_url", amqp_url, _URL, longest=512),
    Target("redis_url", redis_url, _URL, longest=512),
    Target(
        "options",
        options,
        (b"1s", b"2h", b"3d", b"w", b"2026-12-01T18:00:00Z", b"0001-01-01", b"+23:59", b"9999-12-31", b"=", b"Email"),
        longest=256,
    ),
)
