"""The shops file, read: one clear line for each way to get it wrong."""

import difflib
import tomllib
from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import (
    BaseModel,
    ConfigDict,
    ValidationError,
)

from worker.errors import ConfigurationError
from worker.model.job import SLUG
from worker.network import plaintext
from worker.shops.config import ListedShop, ShopConfig, ShopTable, listed_fields
from worker.shops.credentials import Credential, ready_token, signing_key
from worker.text import quoting
from worker.text.bounds import CREDENTIAL_FILE, MOST_SHOPS, MOST_VALUES, SHOPS_FILE, TooLargeError, read_file
from worker.text.editors import EncodingError, without_bom

_CREDENTIAL_KEYS = ("secret_file", "token_file")

ReadFile = Callable[[Path, int], bytes]
"""Reads a file of so many bytes at the most, as :func:`worker.text.bounds.read_file` does."""


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
    return {slug: ListedShop(**listed_fields(slug, table)) for slug, table in _tables(path, read_file)}


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
            shops[slug] = ListedShop(**listed_fields(slug, _shop_table(path, document, slug, own)))
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
        raise ConfigurationError(
            f"{path}: has {len(document.shops):,} shops; the most is {MOST_SHOPS:,}, so use several files"
        )
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
        raw = without_bom(read(path, SHOPS_FILE))
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
