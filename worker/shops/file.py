"""Reads the shops file, with one clear line for each mistake in it. May block on the disk."""

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
from worker.model.names import SLUG
from worker.network import plaintext
from worker.shops.config import ListedShop, ShopConfig, ShopTable, listed_fields
from worker.shops.credentials import Credential, ready_token, signing_key
from worker.text import quoting
from worker.text.bounds import CREDENTIAL_FILE, MOST_SHOPS, MOST_VALUES, SHOPS_FILE, TooLargeError, read_file
from worker.text.editors import EncodingError, without_bom

_CREDENTIAL_KEYS = ("secret_file", "token_file")

ReadFile = Callable[[Path, int], bytes]
"""Reads a file of at most so many bytes, as :func:`worker.text.bounds.read_file` does."""


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    defaults: dict[str, Any] = {}
    shops: dict[str, dict[str, Any]] = {}


def read_shops(
    path: Path, read: ReadFile = read_file, *, plaintext_hosts: Container[str] | None = ()
) -> dict[str, ShopConfig]:
    """The shops of a file by slug, in the file's order. ``read`` is called for the file and for each credential file.

    Calls carry the credential, so a ``base_url`` without TLS must lead to this machine or its cluster, or to one of
    ``plaintext_hosts`` (None: anywhere, for a caller that makes no calls).

    Raises:
      ConfigurationError: one line that names the file, the table, the key at fault and the remedy. It quotes a value
        only if that can't be a secret.
    """
    shops = {}
    for slug, table in _tables(path, read):
        location = _location(path, slug)
        try:
            if plaintext_hosts is not None:
                plaintext.refuse(table.base_url, plaintext_hosts)
        except ValueError as error:
            raise ConfigurationError(f"{location} base_url: {error}") from None
        shops[slug] = ShopConfig.of(slug, _credential(location, path.parent, table, read), table)
    return shops


def listed_shops(path: Path) -> dict[str, ListedShop]:
    """The shops without their credentials, for callers that sign nothing: no credential file is opened or needed.

    Raises:
      ConfigurationError: as :func:`read_shops`.
    """
    return {slug: ListedShop(**listed_fields(slug, table)) for slug, table in _tables(path, read_file)}


@dataclass(frozen=True)
class ReadableShops:
    """What can be read of a shops file.

    ``shops`` are those whose tables are right, by slug; ``others`` are the slugs of the other tables; ``problems`` say
    why these, or the whole file, can't be used.
    """

    shops: Mapping[str, ListedShop]
    others: tuple[str, ...] = ()
    problems: tuple[ConfigurationError, ...] = ()

    def __contains__(self, slug: object) -> bool:
        return slug in self.shops or slug in self.others


def readable_shops(path: Path) -> ReadableShops:
    """As :func:`listed_shops`, but without an error: for commands that show or stop something while the file is broken.

    Workers never use a part of a file. Running ones keep the last version that was right as a whole.
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


def _location(path: Path, slug: str) -> str:
    return f"{path}: [shops.{slug}]"


def _tables(path: Path, read: ReadFile) -> Iterator[tuple[str, ShopTable]]:
    """The slug and the checked table of each shop."""
    document = _checked_document(path, read)
    _table(f"{path}: [defaults]", document.defaults)
    for slug, own in document.shops.items():
        yield slug, _shop_table(path, document, slug, own)


def _checked_document(path: Path, read: ReadFile) -> _Document:
    """The file's tables, with a number of shops that is possible. Their keys are not checked yet."""
    # An empty file is refused: a worker that serves nobody would look healthy.
    document = _document(path, read)
    if not document.shops:
        raise ConfigurationError(f"{path}: no shops; add a table [shops.<slug>] for each")
    if len(document.shops) > MOST_SHOPS:
        raise ConfigurationError(
            f"{path}: has {len(document.shops):,} shops; the most is {MOST_SHOPS:,}, so use several files"
        )
    return document


# `verify` reads a customer's referrals with the shop's token; with a customer's it would compare masked addresses.
def _shop_table(path: Path, document: _Document, slug: str, own: Mapping[str, Any]) -> ShopTable:
    """The checked table of one shop, with the defaults."""
    if not SLUG.fullmatch(slug):
        raise ConfigurationError(
            f"{path}: [shops.{slug[:80]!r}]: a shop slug is 1 to 63 letters, digits, - and _, "
            "the first a letter or digit; copy it from the shop's address in Bubblehouse"
        )
    location = _location(path, slug)
    table = _table(location, _overridden(document.defaults, own))
    if table.on_unknown == "verify" and table.token == "customer":  # noqa: S105 - a kind of token, not a token
        raise ConfigurationError(
            f'{location} on_unknown: "verify" needs a shop token, since a customer\'s sees masked addresses; '
            'set token = "shop", or on_unknown = "resend" or "report"'
        )
    return table


def _document(path: Path, read: ReadFile) -> _Document:
    """The file as TOML with the two known tables; one clear line for each way in which it can't be read.

    Errors never quote the file's content: a secret may have been pasted into it.
    """
    try:
        raw = without_bom(read(path, SHOPS_FILE))
        # Counted in the bytes, before the parser makes an object of each value.
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
        # For a number of thousands of digits the parser lets Python's own error through, which quotes the file.
        reason = str(error) if isinstance(error, tomllib.TOMLDecodeError) else "a number has too many digits"
        raise ConfigurationError(f"{path}: not TOML: {quoting.without_quotes(' '.join(reason.split()))}") from None
    try:
        return _Document.model_validate(content)
    except ValidationError as error:
        where = error.errors()[0]["loc"]
        if where[0] in _Document.model_fields:
            # A shop's slug is public, so it may be quoted; it is cut because it hasn't been checked yet.
            name, wanted = ".".join(str(part) for part in where)[:80], "must be a table"
        else:
            name, wanted = quoting.name(str(where[0])), "unknown key"
        raise ConfigurationError(f"{path}: {name}: {wanted}; there are [defaults] and [shops.<slug>]") from None


def _overridden(defaults: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """The shop's keys over the defaults."""
    # If a shop names a credential of its own, the default one is dropped, also if it is of the other kind.
    named = any(key in own for key in _CREDENTIAL_KEYS)
    kept = {key: value for key, value in defaults.items() if not (named and key in _CREDENTIAL_KEYS)}
    return {**kept, **own}


def _table(location: str, content: Mapping[str, Any]) -> ShopTable:
    """The keys of a table, checked.

    Raises:
      ConfigurationError: a key is unknown or has a value that can't be used.
    """
    try:
        return ShopTable.model_validate(content)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        key = str(problem["loc"][0])
        if problem["type"] == "extra_forbidden":
            close = difflib.get_close_matches(key, ShopTable.model_fields, n=1)
            remedy = f"did you mean {close[0]}?" if close else f"known are {', '.join(ShopTable.model_fields)}"
            raise ConfigurationError(f"{location} {quoting.name(key)}: unknown key; {remedy}") from None
        message = problem["msg"].removeprefix("Value error, ")
        raise ConfigurationError(f"{location} {key}: {message[:1].lower()}{message[1:]}") from None


# Exactly one kind of credential, with all that it needs: a missing half would only show at the first call.
def _credential(location: str, folder: Path, table: ShopTable, read: ReadFile) -> Credential:
    """The credential that a table names, read from its file.

    Raises:
      ConfigurationError: it names none, two, or a file that can't be used.
    """
    if table.secret_file and table.token_file:
        raise ConfigurationError(f"{location} secret_file, token_file: both are given; keep one of them")
    if table.token_file:
        if table.token == "customer":  # noqa: S105 - a kind of token, not a token
            raise ConfigurationError(
                f"{location} token_file: a ready-made token can't speak for every customer; "
                'give key_id and secret_file, or set token = "shop"'
            )
        return _from_file(f"{location} token_file", folder, table.token_file, read, ready_token)
    if not table.secret_file:
        raise ConfigurationError(f"{location} secret_file: missing; give key_id and secret_file, or token_file")
    if not table.key_id:
        raise ConfigurationError(f"{location} key_id: missing; secret_file needs the id of its key")
    key_id = table.key_id
    return _from_file(
        f"{location} secret_file", folder, table.secret_file, read, lambda content: signing_key(key_id, content)
    )


def _from_file(
    location: str, folder: Path, value: str, read: ReadFile, make: Callable[[bytes], Credential]
) -> Credential:
    """The credential that ``make`` finds in a file; errors show the path only as far as that can't be a secret."""
    shown = quoting.path(value, folder)
    try:
        return make(read(folder / value, CREDENTIAL_FILE))
    except OSError as error:
        remedy = (
            "give the path of a file with the credential" if shown == quoting.NOWHERE else "put the credential there"
        )
        raise ConfigurationError(f"{location}: {shown}: {error.strerror or type(error).__name__}; {remedy}") from None
    except ValueError as error:
        # For a name with a zero byte Python's error says it all.
        problem = "" if shown == quoting.NOWHERE else f" {error}"
        raise ConfigurationError(f"{location}: {shown}{problem}; put the credential there") from None
