"""Settings come from the environment, with one clear line for what can't be used."""

from pathlib import Path

import pytest

from worker import settings
from worker.errors import ConfigurationError, UsageError
from worker.settings import PREFIX, Settings, urls_of


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment without any of our variables."""
    for name in Settings.model_fields:
        monkeypatch.delenv(f"{PREFIX}{name.upper()}", raising=False)
    return monkeypatch


def test_an_empty_environment_is_enough() -> None:
    """Every setting has a default, and they are the documented ones."""
    loaded = settings.load()
    assert loaded.amqp_url.get_secret_value() == "amqp://guest:guest@127.0.0.1:5672/%2f"
    assert (loaded.redis_url, loaded.http_proxy, loaded.ca_file) == (None, None, None)
    assert (loaded.shops, loaded.metrics_port, loaded.prefetch) == (Path("shops.toml"), 9191, 16)
    assert loaded.metrics_host == "127.0.0.1"
    assert (loaded.connect_timeout_seconds, loaded.read_timeout_seconds, loaded.call_deadline_seconds) == (3.05, 12, 20)


def test_variables_are_read_when_asked_for(environment: pytest.MonkeyPatch) -> None:
    """A variable set after the import counts, and an empty one counts as unset."""
    environment.setenv("REFERRALS_REDIS_URL", "rediss://:s3cret@redis.example.com:6380/2")
    environment.setenv("REFERRALS_METRICS_PORT", "9292")
    environment.setenv("REFERRALS_HTTP_PROXY", "")
    loaded = settings.load()
    assert loaded.redis_url is not None
    assert loaded.redis_url.get_secret_value().endswith("/2")
    assert (loaded.metrics_port, loaded.http_proxy) == (9292, None)


def test_line_ends_of_windows(environment: pytest.MonkeyPatch) -> None:
    """A file of variables that was saved on Windows leaves a return at each value's end, and at each empty one's."""
    for name, value in {"METRICS_PORT": "9292", "SHOPS": "shops.toml", "REDIS_URL": "", "LOG_LEVEL": "DEBUG"}.items():
        environment.setenv(f"REFERRALS_{name}", f"{value}\r")
    loaded = settings.load()
    assert (loaded.metrics_port, loaded.shops, loaded.redis_url) == (9292, Path("shops.toml"), None)
    assert loaded.log_level == "DEBUG"


def test_urls_are_masked(environment: pytest.MonkeyPatch) -> None:
    """Neither repr nor str of the settings shows a URL, since URLs hold passwords."""
    for name, scheme in (("AMQP_URL", "amqps"), ("REDIS_URL", "rediss"), ("HTTP_PROXY", "https")):
        environment.setenv(f"REFERRALS_{name}", f"{scheme}://user:s3cret@host.example.com")
    loaded = settings.load()
    assert "s3cret" not in repr(loaded) + str(loaded)


def test_secrets_show_in_no_error_from_then_on(environment: pytest.MonkeyPatch) -> None:
    """Secrets of the environment are masked wherever a text quotes them, also percent-decoded."""
    environment.setenv(
        "REFERRALS_AMQP_URL", "amqps://me:first-c%40nary@one.example.com,amqps://me:second-canary@two.example.com"
    )
    environment.setenv("REFERRALS_REDIS_URL", "rediss://:third-canary@redis.example.com")
    environment.setenv("REFERRALS_HTTP_PROXY", "https://me:fourth-canary@proxy.example.com")
    environment.setenv("REFERRALS_LOG_KEY", "the key of all hashes")
    settings.load()
    told = UsageError("first-c@nary first-c%40nary second-canary third-canary fourth-canary the key of all hashes")
    assert str(told) == "*** *** *** *** *** ***"


def test_several_nodes_of_rabbitmq(environment: pytest.MonkeyPatch) -> None:
    """REFERRALS_AMQP_URL may list nodes; a comma in a password separates nothing."""
    environment.setenv("REFERRALS_AMQP_URL", "amqp://me:a,b@one/%2f , amqps://me:a,b@two.example.com/x")
    told = settings.load().amqp_url.get_secret_value()
    assert urls_of(told) == ["amqp://me:a,b@one/%2f", "amqps://me:a,b@two.example.com/x"]


REFUSED = {
    "a second URL of another scheme": ("AMQP_URL", "amqp://host,http://host", "REFERRALS_AMQP_URL: is not a URL like"),
    "a port that is none": ("METRICS_PORT", "99999", "REFERRALS_METRICS_PORT: input should be less than"),
    "a metrics host that is a name": ("METRICS_HOST", "metrics", "REFERRALS_METRICS_HOST: is not an IP address such"),
    "not a number": ("PREFETCH", "many", "REFERRALS_PREFETCH: input should be a valid integer"),
    "another scheme": ("AMQP_URL", "http://s3cret@host", "REFERRALS_AMQP_URL: is not a URL like amqp://host… or amqps"),
    "a URL without host": ("REDIS_URL", "redis://", "REFERRALS_REDIS_URL: is not a URL like redis://host"),
    "a password with a question mark": (
        "REDIS_URL",
        "redis://me:12?s3cret@host/0",
        "REFERRALS_REDIS_URL: is not a URL like redis://",
    ),
    "a password with a slash": (
        "AMQP_URL",
        "amqp://me:12/s3cret@host",
        "REFERRALS_AMQP_URL: is not a URL like amqp://",
    ),
    "plain AMQP over a network": (
        "AMQP_URL",
        "amqps://rabbit.example.com,amqp://me:s3cret@two.example.com/x",
        "REFERRALS_AMQP_URL: amqp:// to two.example.com sends keys and customers' data unencrypted over a network; use",
    ),
    "plain Redis over a network": ("REDIS_URL", "redis://:s3cret@10.0.0.7/0", "REFERRALS_REDIS_URL: redis:// to 10.0"),
    "a plain proxy over a network": (
        "HTTP_PROXY",
        "http://s3cret@proxy.internal:3128",
        "REFERRALS_HTTP_PROXY: http://",
    ),
    "a key in a URL that is shown": (
        "RABBITMQ_METRICS_URL",
        "https://metrics.example.com/?key=s3cret",
        "REFERRALS_RABBITMQ_METRICS_URL: is not a URL like http://host:15692, without user, password and query",
    ),
    "a host in brackets that is none": (
        "RABBITMQ_METRICS_URL",
        "http://[s3cret]:15692",
        "REFERRALS_RABBITMQ_METRICS_URL: is not a URL like http://host:15692",
    ),
    "plain hosts that are none": ("ALLOW_PLAINTEXT", "*", "REFERRALS_ALLOW_PLAINTEXT: is not a list of hosts"),
    "a URL for a plain host": ("ALLOW_PLAINTEXT", "http://s3cret@h", "REFERRALS_ALLOW_PLAINTEXT: is not a list of"),
    "a short key for logs": (
        "LOG_KEY",
        "s3cret",
        "REFERRALS_LOG_KEY: has 6 characters, and needs 16 or more; `openssl",
    ),
    "a short key of suppressed addresses": (
        "SUPPRESSION_KEY",
        "s",
        "REFERRALS_SUPPRESSION_KEY: has 1 character, and needs 16 or more; `openssl rand -hex 32` makes one",
    ),
    "a port that is no number": ("HTTP_PROXY", "http://s3cret:x:y", "REFERRALS_HTTP_PROXY: is not a URL"),
    "a Service's address": (
        "METRICS_PORT",
        "tcp://10.0.0.5:9191",
        "REFERRALS_METRICS_PORT: is what Kubernetes sets for the address of a Service named referrals-metrics; set",
    ),
    "a path behind a proxy": (
        "HTTP_PROXY",
        "https://me:s3cret@proxy.example.com/path",
        "REFERRALS_HTTP_PROXY: is not a URL like http://host:3128: nothing that follows the port counts",
    ),
    "a missing file": ("CA_FILE", "/nowhere/ca.pem", "REFERRALS_CA_FILE: names no file; give the path"),
    "a file of a name that is too long": (
        "CA_FILE",
        "/" + "x" * 5000,
        "REFERRALS_CA_FILE: names no file; give the path",
    ),
    "a URL in another encoding": ("AMQP_URL", "amqp://a\udcff:s3cret@127.0.0.1", "REFERRALS_AMQP_URL: is not UTF-8"),
    "a key in another encoding": ("LOG_KEY", "s3cret\udcff" + "x" * 16, "REFERRALS_LOG_KEY: is not UTF-8"),
    "a level that is none": ("LOG_LEVEL", "LOUD", "REFERRALS_LOG_LEVEL: input should be 'DEBUG'"),
    "a read time-out within the server's delay": (
        "READ_TIMEOUT_SECONDS",
        "5",
        "REFERRALS_READ_TIMEOUT_SECONDS: must be above 5: Refer2 holds back a call over a limit for that long",
    ),
    "a deadline within the server's delay": (
        "CALL_DEADLINE_SECONDS",
        "4.5",
        "REFERRALS_CALL_DEADLINE_SECONDS: must be above 5: Refer2 holds back",
    ),
    "a deadline within the read time-out": (
        "CALL_DEADLINE_SECONDS",
        "11",
        "REFERRALS_CALL_DEADLINE_SECONDS: must be at least REFERRALS_READ_TIMEOUT_SECONDS (12)",
    ),
    "an endless time-out": ("READ_TIMEOUT_SECONDS", "inf", "REFERRALS_READ_TIMEOUT_SECONDS: input should be"),
    "a time-out of nothing": ("CONNECT_TIMEOUT_SECONDS", "0", "REFERRALS_CONNECT_TIMEOUT_SECONDS: input should be"),
}


def test_plaintext_is_had_for_the_asking(environment: pytest.MonkeyPatch) -> None:
    """Hosts that the operator names may be reached without TLS, and are reported; inside hosts need no naming."""
    environment.setenv("REFERRALS_AMQP_URL", "amqp://rabbit.example.com,amqp://rabbitmq,amqps://two.example.com")
    environment.setenv("REFERRALS_REDIS_URL", "redis://[fd00::7]:6379/0")
    environment.setenv("REFERRALS_HTTP_PROXY", "http://10.0.0.7:3128")
    environment.setenv("REFERRALS_ALLOW_PLAINTEXT", " Rabbit.example.com, [fd00::7],10.0.0.7,")
    assert settings.load().exposed_hosts() == [
        ("REFERRALS_AMQP_URL", "rabbit.example.com"),
        ("REFERRALS_REDIS_URL", "fd00::7"),
        ("REFERRALS_HTTP_PROXY", "10.0.0.7"),
    ]
    environment.setenv("REFERRALS_REDIS_URL", "unix:///run/valkey.sock")
    environment.delenv("REFERRALS_HTTP_PROXY")
    assert [name for name, _ in settings.load().exposed_hosts()] == ["REFERRALS_AMQP_URL"]


def test_a_producer_s_own_url_is_held_to_the_same(environment: pytest.MonkeyPatch) -> None:
    """A URL that is given in place of the environment's is checked as if it stood there, and never shown."""
    environment.setenv("REFERRALS_ALLOW_PLAINTEXT", "rabbit.example.com")
    loaded = settings.load()
    other = settings.with_amqp_url(loaded, "amqp://me:s3cret@rabbit.example.com/x")
    assert other.amqp_url.get_secret_value().endswith("/x")
    assert other.allow_plaintext == loaded.allow_plaintext
    for url in ("amqp://me:s3cret@two.example.com", "amqp://me:12?s3cret@rabbit.example.com", "http://s3cret"):
        with pytest.raises(ConfigurationError, match=r"^REFERRALS_AMQP_URL: ") as refused:
            settings.with_amqp_url(loaded, url)
        assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize(("name", "value", "line"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_used_is_named(environment: pytest.MonkeyPatch, name: str, value: str, line: str) -> None:
    """A bad value ends in one line that names the variable and the remedy, and never shows the value's secrets."""
    environment.setenv(f"REFERRALS_{name}", value)
    with pytest.raises(ConfigurationError) as refused:
        settings.load()
    message = str(refused.value)
    assert message.startswith(line)
    assert "\n" not in message
    assert "s3cret" not in message
    assert refused.value.exit_code == 2


def test_every_setting_is_described() -> None:
    """The reference in the docs is made of the descriptions, so none may be missing."""
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []
