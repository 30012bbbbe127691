"""Where the database is, by a URL of libpq and its environment, and whether that may be reached without TLS."""

import shlex
from collections.abc import Container, Iterator, Mapping
from urllib.parse import quote

import psycopg
import structlog
from psycopg import conninfo, pq

from worker.errors import ConfigurationError
from worker.network import plaintext
from worker.network.addresses import authority
from worker.text.masking import hide

log = structlog.get_logger(__name__)

_MAYBE_PLAIN = frozenset({"disable", "allow", "prefer"})
"""Values of ``sslmode`` with which a connection may end up without TLS; libpq's default is among them."""

# A server that is gone without a word is noticed within these seconds, so that nothing waits for it much longer than
# for one that answers slowly.
_DEFAULTS = {
    "application_name": "referral-dispatch",
    "client_encoding": "UTF8",
    "connect_timeout": "5",
    "keepalives_idle": "5",
    "keepalives_interval": "5",
    "keepalives_count": "2",
    "tcp_user_timeout": "15000",
}


class Location:
    """A database, as a connection needs it and as a person may read it."""

    def __init__(self, url: str, setting: str, allowed: Container[str]) -> None:
        """``setting`` is what an error names; ``allowed`` are hosts that may be reached without TLS.

        Raises:
          ConfigurationError: libpq can't read the URL, or it leads out of this machine and its cluster without TLS.
        """
        try:
            given = {name: str(value) for name, value in conninfo.conninfo_to_dict(url).items() if value is not None}
            known = {
                option.keyword.decode(): option.val.decode()
                for option in pq.Conninfo.get_defaults()
                if option.val is not None
            }
        except (psycopg.Error, UnicodeDecodeError):
            # Its words quote the URL.
            raise ConfigurationError(f"{setting}: is no URL that libpq can read") from None
        if "service" in given:
            raise ConfigurationError(f"{setting}: names a service; name its host and its database instead")
        hide(known.get("password", ""))
        hide(given.get("password", ""))
        hide(given.get("sslpassword", ""))
        self.has_password = not given.keys().isdisjoint(("password", "sslpassword"))
        """Whether the URL itself holds one."""
        self._url = url
        self._setting = setting
        effective = known | given
        _refuse_plaintext(effective, setting, allowed)
        preset = {
            name
            for name, value in known.items()
            if value and name in _DEFAULTS and name not in {"application_name", "client_encoding"}
        }
        self._parameters = {name: value for name, value in _DEFAULTS.items() if name not in preset} | given
        hosts = ",".join(authority(host or "localhost", int(port)) for host, port in _targets(effective))
        self.database = effective.get("dbname") or effective.get("user") or "?"
        self.place = f"{hosts}/{quote(self.database, safe='')}"
        """Hosts, ports and database, for messages: no user and no password."""

    def remedy(self, command: str) -> str:
        """How a person types a command on this database."""
        if self.has_password or not self._setting.startswith("-"):
            return f"`referrals {command}` with this {self._setting}"
        return f"`referrals {command} {self._setting} {shlex.quote(self._url)}`"

    def parameters(self, *, writing: bool) -> dict[str, str]:
        """What psycopg connects with. Who writes passes over a standby, unless the URL says otherwise."""
        defaults = {"target_session_attrs": "read-write"} if writing else {}
        return defaults | self._parameters


def _refuse_plaintext(effective: Mapping[str, str], setting: str, allowed: Container[str]) -> None:
    mode = effective.get("sslmode") or "prefer"
    if mode not in _MAYBE_PLAIN:
        return
    for host, _ in _targets(effective):
        name = host.lower()
        if not name or name.startswith(("/", "@")) or plaintext.is_inside(name):
            continue
        if name not in allowed:
            raise ConfigurationError(
                f"{setting}: sslmode={mode} may send customers' data unencrypted to {name}; use sslmode=verify-full, "
                f"or name the host in {plaintext.SETTING}"
            )
        log.warning("plaintext_allowed", setting=setting, host=name)


def _targets(effective: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Host and port of each server; the host is empty or a folder for a socket."""
    hosts, addresses = (effective.get(name, "").split(",") for name in ("host", "hostaddr"))
    ports = effective.get("port", "5432").split(",")
    for number in range(max(len(hosts), len(addresses))):
        host, address = (each[number] if number < len(each) else "" for each in (hosts, addresses))
        # An address is where the packets go, whatever the name beside it says.
        port = ports[number] if number < len(ports) else ports[0]
        yield address or host, port or "5432"
