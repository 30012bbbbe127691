"""The settings of a process, from ``REFERRALS_*`` environment variables. The shops file has what differs per shop."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from worker.errors import ConfigurationError
from worker.model.names import SLUG
from worker.model.suppression import AddressKey
from worker.network import checks, plaintext
from worker.text.editors import without_line_end
from worker.text.masking import hide, mask

PREFIX = "REFERRALS_"

_SERVICE_LINK = re.compile(r"(?:tcp|udp|sctp)://[0-9a-fA-F.:\[\]]+:\d+")
"""What Kubernetes puts into ``<SERVICE>_PORT``. A Service `referrals-metrics` would set our metrics port."""


SERVER_DELAY_SECONDS = 5.0
"""How long Refer2 holds back a call over a limit before it answers (public API pages, read 2026-11)."""


def urls_of(value: str) -> list[str]:
    """The URLs of a setting with several, separated by commas. A comma in a password doesn't separate."""
    return re.split(r"\s*,\s*(?=[a-z]+://)", value.strip())


def _text(value: SecretStr) -> SecretStr:
    # Bytes that are no text come from the environment as lone surrogates, which can't be written to any connection.
    try:
        value.get_secret_value().encode()
    except UnicodeEncodeError:
        raise ValueError("is not UTF-8") from None
    return value


SHORTEST_KEY = 16
"""Characters that a key has at least."""


def _key(value: SecretStr) -> SecretStr:
    """Refuse a key that could be guessed."""
    length = len(_text(value).get_secret_value())
    if length < SHORTEST_KEY:
        has = f"{length} character{'' if length == 1 else 's'}"
        raise ValueError(f"has {has}, and needs {SHORTEST_KEY} or more; `openssl rand -hex 32` makes one")
    return value


def _url(*schemes: str, several: bool = False) -> AfterValidator:
    """A validator for a secret URL with one of these schemes; ``several``: or for URLs separated by commas.

    Its errors name the expected form and never quote the value.
    """
    expected = " or ".join(f"{scheme}://host…" for scheme in schemes)

    def check(value: SecretStr) -> SecretStr:
        text = _text(value).get_secret_value()
        if not all(map(usable, urls_of(text) if several else [text])):
            raise ValueError(f"is not a URL like {expected}{', or several separated by commas' if several else ''}")
        return value

    def usable(url: str) -> bool:
        try:
            parts = urlsplit(url)
            reachable = parts.path if parts.scheme == "unix" else parts.hostname
            # An unescaped / ? or # in a password ends the host for the parser. The rest of the password would then be
            # in the path, and be shown in errors.
            if parts.scheme != "unix" and "@" in parts.path + parts.query + parts.fragment:
                return False
            return parts.scheme in schemes and bool(reachable) and parts.port != 0
        except ValueError:
            return False

    return AfterValidator(check)


_POSTGRES_URL = re.compile(r"postgres(?:ql)?://(?:[^:@/]*(?::(?P<password>[^@/]*))?@)?[^@]*")
"""Not for ``urlsplit``: libpq takes several hosts, each with its port."""


def _postgres_url(value: SecretStr) -> SecretStr:
    """Refuse what is no URL of PostgreSQL at a glance. libpq reads the rest of it, where it is connected to."""
    if not _POSTGRES_URL.fullmatch(_text(value).get_secret_value()):
        raise ValueError(
            "is not a URL like postgresql://user:password@host:5432/database; an @ or a / in the password is written "
            "as %40 or %2F"
        )
    return value


def _proxy(value: SecretStr) -> SecretStr:
    """Refuse a proxy's URL with anything after its port."""
    parts = urlsplit(value.get_secret_value())
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError("is not a URL like http://host:3128: nothing that follows the port counts")
    return value


def _existing(path: Path) -> Path:
    # Checked at the start: requests would report a missing file only at the first call, as a failure of Refer2.
    try:
        there = path.is_file()
    except OSError:
        # The path is too long, or its folder may not be read.
        there = False
    if not there:
        raise ValueError("names no file; give the path of a PEM file, or unset it to trust the public authorities")
    return path


def _beyond_server_delay(seconds: float) -> float:
    """Check that a time-out is longer than the time for which Refer2 itself holds back a call."""
    if seconds <= SERVER_DELAY_SECONDS:
        raise ValueError(
            f"must be above {SERVER_DELAY_SECONDS:g}: Refer2 holds back a call over a limit for that long before "
            "it answers, so a shorter time-out would give up on calls that are being done"
        )
    return seconds


Seconds = Annotated[float, Field(gt=0, le=600, allow_inf_nan=False)]
PatientSeconds = Annotated[Seconds, AfterValidator(_beyond_server_delay)]


class Settings(BaseSettings):
    """The settings of one process. Each field is the variable ``REFERRALS_<NAME>``. Frozen, so any thread may read it.

    URLs with passwords are :class:`SecretStr`, which no log shows. docs/configuration.md is made from the descriptions.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, extra="ignore", frozen=True, hide_input_in_errors=True
    )

    amqp_url: Annotated[SecretStr, _url("amqp", "amqps", several=True)] = Field(
        default=SecretStr("amqp://guest:guest@127.0.0.1:5672/%2f"),
        description="RabbitMQ, with user, password and virtual host. The nodes of a cluster are separated by commas.",
    )
    redis_url: Annotated[SecretStr, _url("redis", "rediss", "unix")] | None = Field(
        default=None,
        description="Redis or Valkey for the limits and ledger that processes share; unset: this process's memory.",
    )
    postgres_url: Annotated[SecretStr, AfterValidator(_postgres_url)] | None = Field(
        default=None,
        description="PostgreSQL in which `referrals collect` keeps results, and from which other commands read them; "
        "the URLs of libpq, with several hosts and all parameters.",
    )
    shops: Path = Field(default=Path("shops.toml"), description="The shops file (TOML); read again when it changes.")
    # Metrics name shops and are served without a password, so by default only to this machine.
    metrics_host: Annotated[str, AfterValidator(checks.ip_text)] = Field(
        default="127.0.0.1",
        description="Address on which the metrics are served; `::` is every address, of IPv4 too, as set in the image.",
    )
    metrics_port: int = Field(default=9191, ge=1, le=65535, description="Port of `/metrics`, `/livez` and `/readyz`.")
    # Each shop has up to 25 series, see worker.telemetry.metrics.labels; Prometheus pays for all of them.
    metrics_shops: int = Field(
        default=1000,
        ge=0,
        le=100_000,
        description="Shops with a `shop` label of their own in `/metrics`, the fastest first; the others are `_other`.",
    )
    rabbitmq_metrics_url: Annotated[str, AfterValidator(checks.http_endpoint)] | None = Field(
        default=None,
        description="RabbitMQ's Prometheus endpoint, for `referrals status`; unset: port 15692 of the broker's host.",
    )
    rabbitmq_management_url: Annotated[str, AfterValidator(checks.http_endpoint)] | None = Field(
        default=None,
        description="RabbitMQ's management API, which is asked for policies that lose messages, as AMQP's user, who "
        "needs the tag `management`; unset: port 15672 of a broker on this machine, and none for other brokers.",
    )
    # HTTP_PROXY of the environment is ignored: the calls carry credentials and must not take a route that nobody chose.
    http_proxy: Annotated[SecretStr, _url("http", "https"), AfterValidator(_proxy)] | None = Field(
        default=None,
        description="Proxy for the calls to Refer2, except calls to this machine; `HTTP_PROXY` and the like are not "
        "read.",
    )
    ca_file: Annotated[Path, AfterValidator(_existing)] | None = Field(
        default=None,
        description="PEM file of the authorities that may sign Refer2's certificate; unset: the public ones.",
    )
    allow_plaintext: Annotated[str, AfterValidator(checks.host_list)] = Field(
        default="",
        description="Hosts, separated by commas, that may be reached by plain `amqp`, `redis` or `http` although they "
        "are outside this machine and its cluster; each is logged as `plaintext_allowed`.",
    )
    # Just above 3 s: by then Linux has sent a lost SYN again twice, so one lost packet doesn't fail a call.
    connect_timeout_seconds: Seconds = Field(
        default=3.05, description="Longest wait for a connection to one address of Refer2, and for its TLS handshake."
    )
    # Refer2 may hold a call back for 5 s before it answers. A shorter time-out would give up on calls that are being
    # done, and each of them would be an unknown outcome.
    read_timeout_seconds: PatientSeconds = Field(
        default=12.0, description="Longest silence of Refer2 during an answer; must be above Refer2's own delay of 5 s."
    )
    call_deadline_seconds: PatientSeconds = Field(
        default=20.0,
        description="Longest whole call, also if the answer comes in drips; must be above Refer2's own delay of 5 s.",
    )
    # A finished job takes 20 bytes in the store for so long. After that, a copy of its message would be called again.
    retention_days: int = Field(
        default=30,
        ge=1,
        le=366,
        description="Least time that the ledger remembers a finished job. A copy that comes later is called again.",
    )
    producer: Annotated[str, Field(pattern=f"^{SLUG.pattern}$")] | None = Field(
        default=None,
        description="Name of the producer, which publishes through the exchange `referrals.from.<name>` for shops that "
        "list it in `producers`; unset: through `referrals`, for every shop.",
    )
    # The gate chooses among these jobs, and half of them may be set aside for customers who have to wait.
    prefetch: int = Field(
        default=16, ge=1, le=1000, description="Unacknowledged messages that RabbitMQ delivers per shop and process."
    )
    one_core: bool = Field(
        default=True,
        description="Whether a worker process keeps to one core at a time, which saves a third of its CPU; it leaves a "
        "core that others want as well. `false` leaves it to the kernel.",
    )
    send_traceparent: bool = Field(
        default=False,
        description="Whether calls to Refer2 carry the job's `traceparent` as a header, so that its vendor can join "
        "its traces to yours.",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO", description="Lowest level of the log lines that are written."
    )
    log_format: Literal["json", "console"] = Field(
        default="json", description="One JSON object per line, or lines for a person."
    )
    # Commands and workers must hash an address alike, and the store, which has the hashes, must not have the key.
    suppression_key: Annotated[SecretStr, AfterValidator(_key)] | None = Field(
        default=None,
        description="Key of the hashes by which suppressed addresses are kept, the same for all workers and commands; "
        "unset: nothing can be suppressed, and no job is called while the store has suppressed addresses.",
    )
    # A key that all processes share makes the hash of a customer the same in every log, so that it can be searched for.
    log_key: Annotated[SecretStr, AfterValidator(_key)] | None = Field(
        default=None,
        description="Key of the hashes that stand for addresses in logs; unset: a random key in each process.",
    )

    @model_validator(mode="before")
    @classmethod
    def _as_other_systems_write(cls, variables: dict[str, Any]) -> dict[str, Any]:
        """The variables without what editors add; one that Kubernetes has set by itself is refused."""
        # Editors and `--env-file` leave a CR at the end of a value, and a variable that is empty after that is unset.
        read = {}
        for name, value in variables.items():
            plain = without_line_end(value) if isinstance(value, str) else value
            if isinstance(plain, str) and _SERVICE_LINK.fullmatch(plain):
                variable = f"{PREFIX}{name.upper()}"
                service = variable.removesuffix("_PORT").lower().replace("_", "-")
                raise ValueError(
                    f"{variable}: is what Kubernetes sets for the address of a Service named {service}; set "
                    "enableServiceLinks: false in the pod, or name the Service otherwise"
                )
            if plain != "":
                read[name] = plain
        return read

    @property
    def address_key(self) -> AddressKey | None:
        """What hashes addresses by ``suppression_key``."""
        return AddressKey(self.suppression_key.get_secret_value().encode()) if self.suppression_key else None

    @property
    def plaintext_hosts(self) -> frozenset[str]:
        """The hosts of ``allow_plaintext``."""
        return frozenset(self.allow_plaintext.split(",")) - {""}

    def exposed_hosts(self) -> list[tuple[str, str]]:
        """Variable and host of each URL that leaves this machine and its cluster without TLS."""
        return [(name, host) for name, url in self.urls() if (host := plaintext.exposed_host(url)) is not None]

    def urls(self) -> Iterator[tuple[str, str]]:
        """Variable and URL of each URL that is set. They hold passwords."""
        for field in ("amqp_url", "redis_url", "http_proxy"):
            value: SecretStr | None = getattr(self, field)
            for url in urls_of(value.get_secret_value()) if value is not None else ():
                yield f"{PREFIX}{field.upper()}", url

    @model_validator(mode="after")
    def _plaintext_is_asked_for(self) -> "Settings":
        """Refuse a URL without TLS that leaves this machine and its cluster, unless its host is allowed."""
        management = self.rabbitmq_management_url
        # It is not among the URLs with passwords, but AMQP's user and password are sent to it.
        asked = [(f"{PREFIX}RABBITMQ_MANAGEMENT_URL", management)] if management is not None else []
        for name, url in [*self.urls(), *asked]:
            try:
                plaintext.refuse(url, self.plaintext_hosts)
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from None
        return self

    @model_validator(mode="after")
    def _deadline_holds_a_read(self) -> "Settings":
        """Refuse a deadline of a whole call that is below the time-out of a read within it."""
        if self.call_deadline_seconds < self.read_timeout_seconds:
            raise ValueError(
                f"{PREFIX}CALL_DEADLINE_SECONDS: must be at least {PREFIX}READ_TIMEOUT_SECONDS "
                f"({self.read_timeout_seconds:g}): it bounds the whole call"
            )
        return self


def with_postgres_url(loaded: Settings, postgres_url: str) -> Settings:
    """The settings with another ``postgres_url``, which is checked like the variable.

    Raises:
      ConfigurationError: the URL can't be used.
    """
    return _checked(lambda: Settings.model_validate(loaded.model_dump() | {"postgres_url": postgres_url}))


def load() -> Settings:
    """The settings of the current environment. From now on their secrets are masked in every log line and error.

    Raises:
      ConfigurationError: a variable can't be used. The error names the variable but not its value, which may be secret.
    """
    return _checked(Settings)


def with_amqp_url(loaded: Settings, amqp_url: str) -> Settings:
    """The settings with another ``amqp_url``, which is checked like the variable.

    Raises:
      ConfigurationError: the URL can't be used.
    """
    return _checked(lambda: Settings.model_validate(loaded.model_dump() | {"amqp_url": amqp_url}))


def _checked(make: Callable[[], Settings]) -> Settings:
    """The settings that ``make`` builds, with pydantic's errors turned into one line and secrets masked from now on."""
    try:
        loaded = make()
    except ValidationError as error:
        problem = error.errors(include_url=False, include_context=False, include_input=False)[0]
        message = problem["msg"].removeprefix("Value error, ")
        if problem["loc"]:
            message = f"{PREFIX}{str(problem['loc'][0]).upper()}: {message[:1].lower()}{message[1:]}"
        raise ConfigurationError(message) from None
    _hide_secrets(loaded)
    return loaded


def _hide_secrets(loaded: Settings) -> None:
    """Mask the passwords of the URLs, also as they are written in a URL, and hash by the log's key from now on."""
    for _, url in loaded.urls():
        hide(urlsplit(url).password or "")
        hide(unquote(urlsplit(url).password or ""))
    if loaded.postgres_url is not None:
        found = _POSTGRES_URL.fullmatch(loaded.postgres_url.get_secret_value())
        password = (found["password"] if found else None) or ""
        hide(password)
        hide(unquote(password))
    if loaded.suppression_key is not None:
        hide(loaded.suppression_key.get_secret_value())
    if loaded.log_key is not None:
        hide(loaded.log_key.get_secret_value())
        mask.rekey(loaded.log_key.get_secret_value().encode())
