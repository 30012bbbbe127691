"""The shops file: its keys, what they mean, and one clear line for each way to get them wrong."""

import difflib
import math
import re
import tomllib
from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass
from datetime import time
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
)

from worker.errors import ConfigurationError
from worker.instants import SECOND
from worker.limits.token_bucket import Rate, ShopLimits
from worker.model.job import SLUG
from worker.network import plaintext
from worker.shops.credentials import Credential, ready_token, signing_key
from worker.text import quoting
from worker.text.bounds import CREDENTIAL_FILE, MOST_SHOPS, MOST_VALUES, SHOPS_FILE, TooLargeError, read_file
from worker.text.editors import EncodingError, without_mark

_HOUR_AND_MINUTE = re.compile(r"([01]\d|2[0-3]):([0-5]\d)")
_SMALLEST = 1e-6
_CREDENTIAL_KEYS = ("secret_file", "token_file")

ReadFile = Callable[[Path, int], bytes]
"""Reads a file of so many bytes at the most, as :func:`worker.text.bounds.read_file` does."""


def _base_url(text: str) -> str:
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or re.search(r"[\s?#@\\]", text) or not text.isascii() or not text.isprintable():
        raise ValueError("is not a URL like https://app.bubblehouse.com, without user, query or fragment")
    return text.rstrip("/")


def _time_of_day(value: object) -> object:
    # TOML has a type of its own for 00:00:00 without quotes.
    return value.isoformat("minutes") if isinstance(value, time) and not value.second else value


def _reset(text: str) -> str:
    if not _HOUR_AND_MINUTE.fullmatch(text):
        raise ValueError('is not a time of day in UTC like "00:00"')
    return text


def _not_tiny(number: float) -> float:
    if number < _SMALLEST:
        raise ValueError(f"Input should be at least {_SMALLEST:f}")
    return number


# Bounded so that what is reckoned from them stays within 64 bits.
Positive = Annotated[float, Field(gt=0, le=1e9, allow_inf_nan=False), AfterValidator(_not_tiny)]
Count = Annotated[int, Field(ge=1, le=10**9)]
Producer = Annotated[str, StringConstraints(pattern=f"^{SLUG.pattern}$")]
OnUnknown = Literal["resend", "verify", "report"]

_VENDOR_READS_PER_SECOND = 2
_VENDOR_READS_PER_DAY = 1000


class ShopTable(BaseModel):
    """The keys of ``[defaults]`` and of each ``[shops.<slug>]``, which overrides the defaults."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)

    base_url: Annotated[str, AfterValidator(_base_url)] = Field(
        default="https://app.bubblehouse.com", description="Where Refer2 is."
    )
    api_version: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,32}$")] = Field(
        default="v2023061", description="Version in the path of each call."
    )
    key_id: Annotated[str, Field(min_length=1, max_length=200)] | None = Field(
        default=None, description="Id of the signing key, as the vendor knows it; goes with `secret_file`."
    )
    secret_file: Annotated[str, Field(min_length=1)] | None = Field(
        default=None, description="File with the shop's shared secret, relative to the shops file."
    )
    token_file: Annotated[str, Field(min_length=1)] | None = Field(
        default=None, description="File with a ready-made token, in place of `key_id` and `secret_file`."
    )
    token: Literal["shop", "customer"] = Field(
        default="shop",
        description="Whether a token speaks for the whole shop or for the job's customer alone, who must then have a "
        "`shopid` and no `bhid`: what such a token can't carry is `rejected` without a call.",
    )
    per_second: Positive = Field(default=100.0, description="Calls a second of the shop, in the long run.")
    burst: Count = Field(default=20, description="Any second may hold this many calls on top of `per_second`.")
    per_day: Count = Field(default=100_000, description="Calls a day of the shop.")
    customer_per_second: Positive = Field(
        default=2.0, description="Calls a second of one customer; its burst is the same number."
    )
    customer_per_day: Count = Field(default=200, description="Calls a day of one customer.")
    day_resets_at: Annotated[str, BeforeValidator(_time_of_day), AfterValidator(_reset)] = Field(
        default="00:00", description="When a day's counts start again, in UTC."
    )
    share: Annotated[float, Field(gt=0, le=1)] = Field(
        default=1.0,
        description="Part of all these limits that this worker may use; the shop's own storefront needs the rest.",
    )
    max_in_flight: Count = Field(
        default=12, description="Calls at once per process; below the threads, and at most `REFERRALS_PREFETCH`."
    )
    weight: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=1, description="Share of the worker's time when several shops wait: 2 gets twice as much as 1."
    )
    max_attempts: Annotated[int, Field(ge=1, le=100)] = Field(
        default=5, description="Calls for one job before a failing upstream makes its result `failed`."
    )
    max_elapsed_seconds: Positive = Field(
        default=3600.0,
        description="Longest that one job is tried for, calls and the waits between them; queueing doesn't count.",
    )
    adapt: bool = Field(
        default=True, description="Go slower than `per_second` for a while where Refer2 answers that it is too fast."
    )
    producers: Annotated[list[Producer], Field(max_length=100)] = Field(
        default=[],
        description="Names of producers that may publish jobs of this shop by an exchange of their own, "
        "`referrals.from.<name>`, which alone their RabbitMQ user may then write to.",
    )
    on_unknown: OnUnknown = Field(
        default="resend",
        description="What to do when an answer was lost: `resend` calls again (Refer2 reuses a referral), `verify` "
        "asks CustomerReferrals2 first and calls only for what is not there, `report` ends with result `unknown`.",
    )


@dataclass(frozen=True)
class ListedShop:
    """One shop as the file lists it, without its credential. ``share`` is already taken out of limits and
    ``per_second``; ``max_elapsed`` is in microseconds.
    """

    slug: str
    base_url: str
    api_version: str
    token: Literal["shop", "customer"]
    limits: ShopLimits
    per_second: float
    max_in_flight: int
    weight: int
    max_attempts: int
    max_elapsed: int
    producers: tuple[str, ...]
    on_unknown: OnUnknown


@dataclass(frozen=True)
class ShopConfig(ListedShop):
    """One shop with what its calls are authorised with."""

    credential: Credential

    @classmethod
    def of(cls, slug: str, credential: Credential, table: ShopTable | None = None) -> "ShopConfig":
        """A shop without a file, for what is built in and for tests; ``table`` may override the usual values.

        Raises:
          ValueError: the slug is none.
        """
        if not SLUG.fullmatch(slug):
            raise ValueError(f"{slug[:80]!r} is no shop slug: letters, digits, - and _, at most 63")
        return cls(**_listed(slug, table or ShopTable()), credential=credential)


def _listed(slug: str, table: ShopTable) -> dict[str, Any]:
    return {
        "slug": slug,
        "base_url": table.base_url,
        "api_version": table.api_version,
        "token": table.token,
        "limits": _limits(table),
        "per_second": table.per_second * table.share,
        "max_in_flight": table.max_in_flight,
        "weight": table.weight,
        "max_attempts": table.max_attempts,
        "max_elapsed": int(table.max_elapsed_seconds * SECOND),
        "producers": tuple(table.producers),
        "on_unknown": table.on_unknown,
    }


def _limits(table: ShopTable) -> ShopLimits:
    def part(count: float) -> int:
        return max(1, math.floor(count * table.share))

    hours, minutes = table.day_resets_at.split(":")
    return ShopLimits(
        shop=Rate.per_second(table.per_second * table.share, part(table.burst)),
        shop_per_day=part(table.per_day),
        customer=Rate.per_second(table.customer_per_second * table.share, part(table.customer_per_second)),
        customer_per_day=part(table.customer_per_day),
        resets_at=(int(hours) * 60 + int(minutes)) * 60 * SECOND,
        adapts=table.adapt,
        reads=Rate.per_second(_VENDOR_READS_PER_SECOND * table.share, part(_VENDOR_READS_PER_SECOND)),
        reads_per_day=part(_VENDOR_READS_PER_DAY),
    )


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    defaults: dict[str, Any] = {}
    shops: dict[str, dict[str, Any]] = {}


def read_shops(
    path: Path, read: ReadFile = read_file, *, plaintext_hosts: Container[str] | None = ()
) -> dict[str, ShopConfig]:
    """The shops of a file, by slug in the file's order. ``read`` is called for it and for each credential file.

    Calls carry the credential, so a ``base_url`` without TLS must lead inside, or to one of ``plaintext_hosts`` (None:
    anywhere, for who makes none).

    Raises:
      ConfigurationError: one line that names the file, the table and the key at fault, and the remedy; of a value it
        quotes what can be no secret.
    """
    shops = {}
    for slug, table in _tables(path, read):
        place = _place(path, slug)
        try:
            if plaintext_hosts is not None:
                plaintext.refuse(table.base_url, plaintext_hosts)
        except ValueError as error:
            raise ConfigurationError(f"{place} base_url: {error}") from None
        shops[slug] = ShopConfig.of(slug, _credential(place, path.parent, table, read), table)
    return shops


def listed_shops(path: Path) -> dict[str, ListedShop]:
    """The same for who signs nothing: no credential file is opened, and none need be named.

    Raises:
      ConfigurationError: as :func:`read_shops`.
    """
    return {slug: ListedShop(**_listed(slug, table)) for slug, table in _tables(path, read_file)}


@dataclass(frozen=True)
class ReadableShops:
    """What can be read of a shops file: the ``shops`` whose tables are right, by slug, the slugs of the ``others``, and
    why these can't be used, or the file as a whole.
    """

    shops: Mapping[str, ListedShop]
    others: tuple[str, ...] = ()
    problems: tuple[ConfigurationError, ...] = ()

    def __contains__(self, slug: object) -> bool:
        return slug in self.shops or slug in self.others


def readable_shops(path: Path) -> ReadableShops:
    """As :func:`listed_shops`, for who looks or stops something while the file is broken: raises nothing for it.

    No worker takes a part of a file: those that run go on by the last version of it that was good as a whole.
    """
    shops: dict[str, ListedShop] = {}
    others: list[str] = []
    problems: list[ConfigurationError] = []
    try:
        document = _checked_document(path, read_file)
    except ConfigurationError as error:
        return ReadableShops({}, problems=(error,))
    try:
        _table(f"{path}: [defaults]", document.defaults)
    except ConfigurationError as error:
        return ReadableShops({}, tuple(slug for slug in document.shops if SLUG.fullmatch(slug)), (error,))
    for slug, own in document.shops.items():
        try:
            shops[slug] = ListedShop(**_listed(slug, _shop_table(path, document, slug, own)))
        except ConfigurationError as error:
            problems.append(error)
            if SLUG.fullmatch(slug):
                others.append(slug)
    return ReadableShops(shops, tuple(others), tuple(problems))


def _place(path: Path, slug: str) -> str:
    return f"{path}: [shops.{slug}]"


def _tables(path: Path, read: ReadFile) -> Iterator[tuple[str, ShopTable]]:
    document = _checked_document(path, read)
    _table(f"{path}: [defaults]", document.defaults)
    for slug, own in document.shops.items():
        yield slug, _shop_table(path, document, slug, own)


def _checked_document(path: Path, read: ReadFile) -> _Document:
    document = _document(path, read)
    if not document.shops:
        raise ConfigurationError(f"{path}: no shops; add a table [shops.<slug>] for each")
    if len(document.shops) > MOST_SHOPS:
        raise ConfigurationError(f"{path}: has {len(document.shops):,} shops; {MOST_SHOPS:,} is the most, use several")
    return document


def _shop_table(path: Path, document: _Document, slug: str, own: Mapping[str, Any]) -> ShopTable:
    if not SLUG.fullmatch(slug):
        raise ConfigurationError(
            f"{path}: [shops.{slug[:80]!r}]: a shop slug is 1 to 63 letters, digits, - and _, "
            "the first a letter or digit; copy it from the shop's address in Bubblehouse"
        )
    place = _place(path, slug)
    table = _table(place, _overridden(document.defaults, own))
    if table.on_unknown == "verify" and table.token == "customer":  # noqa: S105 - a kind of token, not a token
        raise ConfigurationError(
            f'{place} on_unknown: "verify" needs a shop token, since a customer\'s sees masked addresses; '
            'set token = "shop", or on_unknown = "resend" or "report"'
        )
    return table


def _document(path: Path, read: ReadFile) -> _Document:
    try:
        raw = without_mark(read(path, SHOPS_FILE))
        if sum(map(raw.count, (b"=", b",", b"[", b"{"))) > MOST_VALUES:
            raise TooLargeError(f"has more than {MOST_VALUES:,} values")
        content = tomllib.loads(raw.decode())
    except OSError as error:
        reason = error.strerror or type(error).__name__
        shown = quoting.path(str(path))
        raise ConfigurationError(f"{shown}: {reason}; write the shops file or set REFERRALS_SHOPS") from None
    except EncodingError as error:
        raise ConfigurationError(f"{path}: {error}") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"{path}: not TOML: the file is not UTF-8") from None
    except TooLargeError as error:
        raise ConfigurationError(f"{path}: {error}; is it the shops file?") from None
    except RecursionError:
        raise ConfigurationError(f"{path}: not TOML: it nests too deep") from None
    except ValueError as error:
        # Over a number of thousands of digits the parser lets Python's own error through.
        reason = str(error) if isinstance(error, tomllib.TOMLDecodeError) else "a number has too many digits"
        raise ConfigurationError(f"{path}: not TOML: {quoting.without_quotes(' '.join(reason.split()))}") from None
    try:
        return _Document.model_validate(content)
    except ValidationError as error:
        where = error.errors()[0]["loc"]
        if where[0] in _Document.model_fields:
            # A shop's slug is public, and its own rule has not been looked at yet.
            name, wanted = ".".join(str(part) for part in where)[:80], "must be a table"
        else:
            name, wanted = quoting.name(str(where[0])), "unknown key"
        raise ConfigurationError(f"{path}: {name}: {wanted}; there are [defaults] and [shops.<slug>]") from None


def _overridden(defaults: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    # A shop that names its own kind of credential replaces the default one, whichever kind that is.
    named = any(key in own for key in _CREDENTIAL_KEYS)
    kept = {key: value for key, value in defaults.items() if not (named and key in _CREDENTIAL_KEYS)}
    return {**kept, **own}


def _table(place: str, content: Mapping[str, Any]) -> ShopTable:
    try:
        return ShopTable.model_validate(content)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        key = str(problem["loc"][0])
        if problem["type"] == "extra_forbidden":
            close = difflib.get_close_matches(key, ShopTable.model_fields, n=1)
            remedy = f"did you mean {close[0]}?" if close else f"known are {', '.join(ShopTable.model_fields)}"
            raise ConfigurationError(f"{place} {quoting.name(key)}: unknown key; {remedy}") from None
        message = problem["msg"].removeprefix("Value error, ")
        raise ConfigurationError(f"{place} {key}: {message[:1].lower()}{message[1:]}") from None


def _credential(place: str, folder: Path, table: ShopTable, read: ReadFile) -> Credential:
    if table.secret_file and table.token_file:
        raise ConfigurationError(f"{place} secret_file, token_file: both are given; keep one of them")
    if table.token_file:
        if table.token == "customer":  # noqa: S105 - a kind of token, not a token
            raise ConfigurationError(
                f"{place} token_file: a ready-made token can't speak for every customer; "
                'give key_id and secret_file, or set token = "shop"'
            )
        return _from_file(f"{place} token_file", folder, table.token_file, read, ready_token)
    if not table.secret_file:
        raise ConfigurationError(f"{place} secret_file: missing; give key_id and secret_file, or token_file")
    if not table.key_id:
        raise ConfigurationError(f"{place} key_id: missing; secret_file needs the id of its key")
    key_id = table.key_id
    return _from_file(
        f"{place} secret_file", folder, table.secret_file, read, lambda content: signing_key(key_id, content)
    )


def _from_file(place: str, folder: Path, value: str, read: ReadFile, make: Callable[[bytes], Credential]) -> Credential:
    shown = quoting.path(value, folder)
    try:
        return make(read(folder / value, CREDENTIAL_FILE))
    except OSError as error:
        remedy = (
            "give the path of a file with the credential" if shown == quoting.NOWHERE else "put the credential there"
        )
        raise ConfigurationError(f"{place}: {shown}: {error.strerror or type(error).__name__}; {remedy}") from None
    except ValueError as error:
        # Of a name with a zero byte Python says so itself.
        problem = "" if shown == quoting.NOWHERE else f" {error}"
        raise ConfigurationError(f"{place}: {shown}{problem}; put the credential there") from None
