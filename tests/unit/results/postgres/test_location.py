"""Where the database is: URLs of libpq, and which of them may do without TLS."""

import pytest

from worker.errors import ConfigurationError
from worker.results.postgres.location import Location

INSIDE = {
    "postgresql://u:secret@127.0.0.1:5433/d": "127.0.0.1:5433/d",
    "postgresql://u@db/d": "db:5432/d",
    "postgresql://u@db.shop.svc/d": "db.shop.svc:5432/d",
    "postgresql:///d?host=/run/postgresql": "/run/postgresql:5432/d",
    "postgres://u@[::1]:5433,localhost:5434/d": "[::1]:5433,localhost:5434/d",
    "postgresql://u@db.example.com/d?sslmode=verify-full": "db.example.com:5432/d",
    "postgresql://u@a.example.com:1,b.example.com:2/d?sslmode=require": "a.example.com:1,b.example.com:2/d",
}


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PGHOST", "PGHOSTADDR", "PGPORT", "PGSSLMODE", "PGSERVICE", "PGPASSWORD"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(("url", "place"), INSIDE.items())
def test_a_place_without_secrets(url: str, place: str) -> None:
    """Hosts, ports and database of a URL, for messages: never its user or password."""
    assert Location(url, "--postgres", ()).place == place


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("postgresql://u@db.example.com/d", "db.example.com"),
        ("postgresql://u@10.0.0.7/d?sslmode=disable", "10.0.0.7"),
        ("postgresql://u@localhost,DB.example.com/d", "db.example.com"),
        ("postgresql://u@localhost/d?hostaddr=10.0.0.7", "10.0.0.7"),
        ("postgresql:///d?host=db.example.com&sslmode=allow", "db.example.com"),
    ],
)
def test_without_tls_nothing_leaves_the_machine(url: str, host: str) -> None:
    """libpq's own default would fall back to plaintext; a host that the operator names is allowed."""
    with pytest.raises(ConfigurationError, match=f"unencrypted to {host}; use sslmode=verify-full"):
        Location(url, "REFERRALS_POSTGRES_URL", ())
    assert host in Location(url, "REFERRALS_POSTGRES_URL", {host}).place.lower() or "hostaddr" in url


def test_the_environment_counts_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """libpq takes host and sslmode from it where the URL has none."""
    monkeypatch.setenv("PGHOST", "db.example.com")
    with pytest.raises(ConfigurationError, match=r"unencrypted to db\.example\.com"):
        Location("postgresql:///d", "--postgres", ())
    monkeypatch.setenv("PGSSLMODE", "verify-full")
    assert Location("postgresql:///d", "--postgres", ()).place == "db.example.com:5432/d"


@pytest.mark.parametrize("url", ["postgresql://u:secret@h/d?nonsense=secret", "postgresql://u:se%zzcret@h/d"])
def test_what_libpq_cant_read(url: str) -> None:
    """The line names the setting, and quotes nothing: libpq's own words would."""
    with pytest.raises(ConfigurationError, match=r"^--postgres: is no URL that libpq can read$"):
        Location(url, "--postgres", ())
    with pytest.raises(ConfigurationError, match="names a service"):
        Location("postgresql://h/d?service=x", "--postgres", ())


def test_what_is_connected_with() -> None:
    """A dead server is noticed within seconds unless the URL says otherwise; who writes wants no standby."""
    location = Location("postgresql://h/d?connect_timeout=60&target_session_attrs=any", "--postgres", ())
    asked = location.parameters(writing=True)
    assert (asked["connect_timeout"], asked["target_session_attrs"]) == ("60", "any")
    assert asked["tcp_user_timeout"] == "15000"
    plain = Location("postgresql://h/d", "--postgres", ())
    assert plain.parameters(writing=True)["target_session_attrs"] == "read-write"
    assert "target_session_attrs" not in plain.parameters(writing=False)
    assert Location("postgresql://u:secret@h/d", "--postgres", ()).has_password
    assert not plain.has_password


def test_a_remedy_can_be_typed() -> None:
    """It has the URL that was an option, quoted for a shell; a URL that may hold a secret is only named."""
    typed = Location("postgresql://u@h/d?sslmode=require&connect_timeout=9", "--postgres", ())
    assert typed.remedy("collect") == (
        "`referrals collect --postgres 'postgresql://u@h/d?sslmode=require&connect_timeout=9'`"
    )
    for secret, setting in (("u:secret@h/d", "REFERRALS_POSTGRES_URL"), ("u@h/d?sslpassword=secret", "--postgres")):
        hidden = Location(f"postgresql://{secret}", setting, ())
        assert hidden.has_password
        assert hidden.remedy("collect") == f"`referrals collect` with this {setting}"
