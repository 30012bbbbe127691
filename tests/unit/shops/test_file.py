"""The shops file: what its keys come to, one line for each mistake, and changes while the worker runs."""

import os
from pathlib import Path

import pytest
import structlog

from worker.errors import ConfigurationError
from worker.instants import SECOND
from worker.limits.token_bucket import Rate, ShopLimits
from worker.shops.config import ListedShop, ShopConfig, ShopTable
from worker.shops.credentials import ReadyToken, SigningKey
from worker.shops.file import listed_shops, readable_shops
from worker.shops.registry import ShopRegistry

ACME = '[shops.acme]\nkey_id = "k1"\nsecret_file = "acme.key"\n'

EXAMPLE = """
[defaults]
base_url = "https://app.bubblehouse.com"
api_version = "v2023061"
per_second = 100          # writes a second for one shop
burst = 20
per_day = 100_000
customer_per_second = 2
customer_per_day = 200
day_resets_at = "00:00"
share = 1.0
max_in_flight = 12
weight = 1
token = "shop"

[shops.acme]
key_id = "k1"
secret_file = "acme.key"
per_second = 25
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a secret and a token beside the shops file to come."""
    (tmp_path / "acme.key").write_bytes(b"s3cret\n")
    (tmp_path / "beta.token").write_text("made.else.where\n")
    (tmp_path / "empty.key").write_bytes(b"\n")
    (tmp_path / "two words.token").write_text("made else\n")
    return tmp_path


def load(folder: Path, text: str) -> ShopRegistry:
    """The registry of a shops file with that text."""
    path = folder / "shops.toml"
    path.write_text(text)
    return ShopRegistry.load(path)


def only(registry: ShopRegistry) -> ShopConfig:
    """The one shop of a registry."""
    (slug,) = registry.slugs()
    shop = registry.get(slug)
    assert shop is not None
    return shop


def test_the_documented_example(folder: Path) -> None:
    """The example of the documentation loads, and the shop's own keys override the defaults."""
    shop = only(load(folder, EXAMPLE))
    assert (shop.slug, shop.base_url, shop.api_version) == ("acme", "https://app.bubblehouse.com", "v2023061")
    assert shop.credential == SigningKey("k1", b"s3cret")
    assert (shop.per_second, shop.max_in_flight, shop.weight, shop.token) == (25, 12, 1, "shop")
    assert (shop.on_unknown, shop.max_attempts, shop.max_elapsed) == ("resend", 5, 3600 * SECOND)
    assert shop.limits == ShopLimits(
        shop=Rate(interval=40_000, burst=20),
        shop_per_day=100_000,
        customer=Rate(interval=500_000, burst=2),
        customer_per_day=200,
        resets_at=0,
    )


@pytest.mark.parametrize("marks", [1, 2])
def test_a_file_saved_on_windows(folder: Path, marks: int) -> None:
    """A byte order mark and returns before line feeds are no part of it, nor of the secret's file."""
    path = folder / "shops.toml"
    (folder / "acme.key").write_bytes(b"\xef\xbb\xbfs3cret\r\n")
    path.write_bytes(marks * b"\xef\xbb\xbf" + ACME.replace("\n", "\r\n").encode())
    assert only(ShopRegistry.load(path)).credential == SigningKey("k1", b"s3cret")
    path.write_text(ACME, encoding="utf-16")
    with pytest.raises(ConfigurationError, match=r"shops\.toml: is saved as UTF-16; save it as UTF-8$"):
        ShopRegistry.load(path)


def test_defaults_may_be_left_out(folder: Path) -> None:
    """Without a defaults table the documented defaults hold."""
    without = only(load(folder, ACME))
    assert without == only(load(folder, EXAMPLE.replace("per_second = 25", "per_second = 100")))
    assert without == ShopConfig.of("acme", SigningKey("k1", b"s3cret"))


def test_the_share_is_taken_out_of_every_limit(folder: Path) -> None:
    """Half a share is half of each rate, burst and day's count, rounded down."""
    shop = only(load(folder, ACME + "share = 0.5\nburst = 5\nper_day = 9\nday_resets_at = '06:30'\n"))
    assert shop.per_second == 50
    assert shop.limits == ShopLimits(
        shop=Rate(interval=20_000, burst=2),
        shop_per_day=4,
        customer=Rate(interval=SECOND, burst=1),
        customer_per_day=100,
        resets_at=(6 * 60 + 30) * 60 * SECOND,
        reads=Rate(interval=SECOND, burst=1),
        reads_per_day=500,
    )


def test_a_small_share_leaves_one_of_each(folder: Path) -> None:
    """No share is so small that a burst or a day's count comes to nothing."""
    limits = only(load(folder, ACME + "share = 0.001\n")).limits
    assert (limits.shop.burst, limits.customer.burst, limits.customer_per_day) == (1, 1, 1)


def test_a_ready_made_token(folder: Path) -> None:
    """A shop may name a file with a token; it replaces a secret among the defaults."""
    text = '[defaults]\nkey_id = "k1"\nsecret_file = "acme.key"\n[shops.beta]\ntoken_file = "beta.token"\n'
    assert only(load(folder, text)).credential == ReadyToken("made.else.where")


def test_toml_times_and_slashes(folder: Path) -> None:
    """A time without quotes is taken, and a slash at the end of the URL is not doubled."""
    shop = only(load(folder, ACME + 'day_resets_at = 05:00:00\nbase_url = "http://127.0.0.1:8080/"\n'))
    assert (shop.limits.resets_at, shop.base_url) == (5 * 3600 * SECOND, "http://127.0.0.1:8080")


def test_the_window_holds_for_emails(folder: Path) -> None:
    """A shop's window takes the place of the default one; every job of a channel that is named keeps to it."""
    text = '[defaults]\nwindow = "09:00-18:00 UTC"\n' + ACME
    shop = only(load(folder, text))
    assert (shop.window, shop.window_channels) == ("09:00-18:00 UTC", ("email",))
    assert (shop.keeps_hours("email"), shop.keeps_hours("sms"), shop.keeps_all_hours) == (True, False, False)
    every = only(load(folder, text + 'window = "10:00-11:00 UTC"\nwindow_channels = ["*"]\n'))
    assert (every.window, every.keeps_hours("sms"), every.keeps_all_hours) == ("10:00-11:00 UTC", True, True)


def with_acme(line: str) -> str:
    """A file whose one shop has one line more."""
    return f"{ACME}{line}\n"


MISTAKES = {
    "a window in a zone that isn't": (
        with_acme('window = "Mon-Fri 09:00-18:00 Europe/Wien"'),
        '[shops.acme] window: its time zone is unknown; give one like Europe/Vienna, as in "Mon-Fri 09:00-18:00 ',
    ),
    "a window without a zone": (
        with_acme('window = "Mon-Fri 09:00-18:00"'),
        '[shops.acme] window: needs ranges and a time zone, like "Mon-Fri 09:00-18:00 Europe/Vienna"',
    ),
    "a bad default window": (f'[defaults]\nwindow = "Mo 09:00-18:00 UTC"\n{ACME}', "[defaults] window: has a day that"),
    "channels that are none": (with_acme('window_channels = "email"'), "[shops.acme] window_channels: input should be"),
    "verifying with customers' tokens": (
        with_acme('token = "customer"\non_unknown = "verify"'),
        '[shops.acme] on_unknown: "verify" needs a shop token',
    ),
    "an unknown key": (with_acme("per_secnd = 5"), "[shops.acme] 'per_secnd': unknown key; did you mean per_second?"),
    "an unknown key like none": (with_acme("colour = 1"), "[shops.acme] 'colour': unknown key; known are base_url, "),
    "an unknown default": (f"[defaults]\nratee = 1\n{ACME}", "[defaults] 'ratee': unknown key"),
    "a bad default": (f"[defaults]\nper_day = 0\n{ACME}", "[defaults] per_day: input should be greater than or"),
    "an unknown table": (f"[shop.x]\n{ACME}", "'shop': unknown key; there are [defaults] and [shops.<slug>]"),
    "a shop that is no table": ("shops.acme = 3\n", "shops.acme: must be a table; there are"),
    "no shops": ("[defaults]\n", "no shops; add a table [shops.<slug>] for each"),
    "a rate of nothing": (with_acme("per_second = 0"), "[shops.acme] per_second: input should be greater than 0"),
    "a rate below nothing": (with_acme("customer_per_second = -1"), "[shops.acme] customer_per_second: input should"),
    "a rate that is none": (with_acme("per_second = nan"), "[shops.acme] per_second: input should be"),
    "an endless rate": (with_acme("per_second = inf"), "[shops.acme] per_second: input should be a finite number"),
    "a number in quotes": (with_acme('burst = "20"'), "[shops.acme] burst: input should be a valid integer"),
    "true for a number": (with_acme("weight = true"), "[shops.acme] weight: input should be a valid integer"),
    "a share above all": (with_acme("share = 1.5"), "[shops.acme] share: input should be less than or equal to 1"),
    "a kind of token": (with_acme('token = "user"'), "[shops.acme] token: input should be 'shop' or 'customer'"),
    "a bad time": (with_acme('day_resets_at = "24:00"'), "[shops.acme] day_resets_at: is not a time of day in UTC"),
    "a bad URL": (with_acme('base_url = "app.example.com"'), "[shops.acme] base_url: is not a URL like https://"),
    "a URL with a query": (with_acme('base_url = "https://example.com/?a=1"'), "[shops.acme] base_url: is not a URL"),
    "a URL with a password": (with_acme('base_url = "https://u:s3cret@example.com"'), "[shops.acme] base_url: is not"),
    "a URL with a bad port": (with_acme('base_url = "https://example.com:x"'), "[shops.acme] base_url: is not a URL"),
    "a version with a slash": (with_acme('api_version = "v1/x"'), "[shops.acme] api_version: string should match"),
    "a bad slug": ('[shops."-acme"]\n', "[shops.'-acme']: a shop slug is 1 to 63 letters, digits, - and _"),
    "a slug with a dot": ('[shops."a.b"]\n', "[shops.'a.b']: a shop slug is 1 to 63 letters"),
    "a long slug": (f"[shops.{'a' * 64}]\n", f"[shops.'{'a' * 64}']: a shop slug is"),
    "no credential": ('[shops.acme]\nkey_id = "k1"\n', "[shops.acme] secret_file: missing; give key_id and"),
    "no key id": ('[shops.acme]\nsecret_file = "acme.key"\n', "[shops.acme] key_id: missing; secret_file needs"),
    "two credentials": (with_acme('token_file = "beta.token"'), "[shops.acme] secret_file, token_file: both are given"),
    "a missing secret": (
        '[shops.acme]\nkey_id = "k1"\nsecret_file = "none.key"\n',
        "[shops.acme] secret_file: {folder}/none.key: No such file or directory; put the credential there",
    ),
    "an empty secret": (
        '[shops.acme]\nkey_id = "k1"\nsecret_file = "empty.key"\n',
        "[shops.acme] secret_file: {folder}/empty.key is empty; put the credential there",
    ),
    "a token of two words": (
        '[shops.acme]\ntoken_file = "two words.token"\n',
        "[shops.acme] token_file: {folder}/two words.token is not one token",
    ),
    "an empty token": (
        '[shops.acme]\ntoken_file = "empty.key"\n',
        "[shops.acme] token_file: {folder}/empty.key is empty",
    ),
    "a ready-made token for customers": (
        '[shops.acme]\ntoken = "customer"\ntoken_file = "beta.token"\n',
        "[shops.acme] token_file: a ready-made token can't speak for every customer",
    ),
    "not TOML": ("[shops.acme\n", "not TOML: "),
    "deep nesting": (f"a = {'[' * 5000}", "not TOML: "),
    "thousands of digits": (with_acme(f"per_day = {'1' * 5000}"), "not TOML: a number has too many digits"),
    "hundreds of digits": (with_acme(f"per_day = {'1' * 400}"), "[shops.acme] per_day: input should be less than"),
    "a count beyond any": (with_acme("burst = 1000000001"), "[shops.acme] burst: input should be less than or equal"),
    "a rate beyond any": (with_acme("per_second = 1e308"), "[shops.acme] per_second: input should be less than or"),
    "a rate of almost nothing": (with_acme("per_second = 1e-300"), "[shops.acme] per_second: input should be at least"),
    "more time than there is": (
        with_acme("max_elapsed_seconds = 1e308"),
        "[shops.acme] max_elapsed_seconds: input should be less than or equal to 1000000000",
    ),
    "a file of megabytes": (f"{ACME}#{' ' * 4 * 1024 * 1024}", "has more than 4,194,304 bytes; is it the shops file?"),
    "a file of many values": (f"{ACME}x = [{'[],' * 200_000}]", "has more than 250,000 values; is it the shops file?"),
    "a secret of megabytes": (
        '[shops.acme]\nkey_id = "k1"\nsecret_file = "/dev/zero"\n',
        "[shops.acme] secret_file: /dev/zero has more than 65,536 bytes; put the credential there",
    ),
    "more shops than any": (
        "".join(f"[shops.s{number}]\n" for number in range(10_001)),
        "has 10,001 shops; the most is 10,000, so use several files",
    ),
}


@pytest.mark.parametrize(("text", "line"), MISTAKES.values(), ids=MISTAKES.keys())
def test_a_mistake_is_one_clear_line(folder: Path, text: str, line: str) -> None:
    """The line names file, table and key and says what to do; it shows no secret."""
    with pytest.raises(ConfigurationError) as refused:
        load(folder, text)
    message = str(refused.value)
    assert message.startswith(f"{folder}/shops.toml: {line.format(folder=folder)}")
    assert "\n" not in message
    assert "s3cret" not in message
    assert refused.value.exit_code == 2


def test_files_that_cannot_be_read(folder: Path) -> None:
    """A missing file, a directory and another encoding each end in a line of their own."""
    with pytest.raises(ConfigurationError, match=r"none\.toml: No such file.*set REFERRALS_SHOPS"):
        ShopRegistry.load(folder / "none.toml")
    with pytest.raises(ConfigurationError, match="Is a directory"):
        ShopRegistry.load(folder)
    (folder / "shops.toml").write_bytes(ACME.replace("k1", "clé").encode("latin-1"))
    with pytest.raises(ConfigurationError, match="the file is not UTF-8"):
        ShopRegistry.load(folder / "shops.toml")


PASTED = {
    "a word": "s3cr3t",
    "hex": "s3cr3t" + "0a1b" * 16,
    "base64": "s3cr3t/Zm9v/YmFy+YmF6==",
    "base64 with a slash first": "/s3cr3tZm9vYmFy==",
    "a token": "eyJhbGciOiJIUzI1NiJ9.s3cr3t.c2lnbmF0dXJl",
    "a token with a file's ending": "s3cr3t" * 20 + ".key",
    "several lines": "-----BEGIN PRIVATE KEY-----\\ns3cr3t\\n-----END PRIVATE KEY-----",
    "a zero byte": "s3cr3t\\u0000",
    "too long for a name": "s3cr3t" * 1000,
}
"""Secrets as TOML would hold them."""


@pytest.mark.parametrize("secret", PASTED.values(), ids=PASTED.keys())
@pytest.mark.parametrize(
    "text",
    [
        '[shops.acme]\nkey_id = "k1"\nsecret_file = "{}"\n',
        '[shops.acme]\nkey_id = "{}"\nsecret_file = "{}"\n',
        '[shops.acme]\ntoken_file = "{}"\n',
        ACME + '"{}" = 1\n',
        ACME + 'base_url = "{}"\n',
        ACME + 'base_url = "https://u:{}@example.com"\n',
        ACME + 'api_version = "{} !"\n',
        ACME + 'token = "{}"\n',
        '"{}" = 1\n',
        ACME + 'weight = "{}\n',
        ACME + "per_day = {}\n",
        ACME + 'a = {{"{}" = 1, "{}" = 2}}\n',
        '["{}"]\n["{}"]\n',
    ],
)
def test_a_secret_in_the_wrong_place_is_not_echoed(folder: Path, text: str, secret: str) -> None:
    """Neither at the start nor on reload: the line names the key, and quotes of the value what can be no secret."""
    registry = load(folder, ACME)
    (folder / "shops.toml").write_text(text.replace("{}", secret).replace("{{", "{").replace("}}", "}"))
    with pytest.raises(ConfigurationError) as refused:
        ShopRegistry.load(folder / "shops.toml")
    assert str(refused.value).startswith(f"{folder}/shops.toml: ")
    with structlog.testing.capture_logs() as logs:
        assert not registry.refresh()
    (line,) = logs
    told = f"{refused.value} {registry.problem} {line}"
    assert "s3cr3t" not in told.replace("\\", "")
    assert "PRIVATE" not in told


def test_a_path_is_told(folder: Path) -> None:
    """What exists, what lies in a folder that does and what ends like a key's file is named where it can't be used."""
    (folder / "keys").mkdir()
    for value in ("none.key", "keys/none", f"{folder}/keys/none", "keys", "late.token"):
        with pytest.raises(ConfigurationError) as refused:
            load(folder, f'[shops.acme]\nkey_id = "k1"\nsecret_file = "{value}"\n')
        assert f"[shops.acme] secret_file: {folder / value}: " in str(refused.value)


def test_plain_http_leads_nowhere_unasked(folder: Path) -> None:
    """A base URL without TLS must lead inside or to a host that the operator named, at the start and on reload."""
    text = with_acme('base_url = "http://refer2.example.com"')
    with pytest.raises(
        ConfigurationError,
        match=r"\[shops\.acme\] base_url: http:// to refer2\.example\.com .*REFERRALS_ALLOW_PLAINTEXT",
    ):
        load(folder, text)
    assert list(listed_shops(folder / "shops.toml")) == ["acme"], "who calls nobody is not kept from publishing"
    with structlog.testing.capture_logs() as logs:
        registry = ShopRegistry.load(folder / "shops.toml", plaintext_hosts={"refer2.example.com", "10.0.0.7"})
        (folder / "shops.toml").write_text(with_acme('base_url = "http://10.0.0.7:8080"'))
        assert registry.refresh()
        (folder / "shops.toml").write_text(with_acme('base_url = "http://10.0.0.8"'))
        assert not registry.refresh()
    assert [(line["event"], line.get("host")) for line in logs if line["log_level"] == "warning"] == [
        ("plaintext_allowed", "refer2.example.com"),
        ("plaintext_allowed", "10.0.0.7"),
        ("shops_file_refused", None),
    ]
    assert "10.0.0.8" in str(registry.problem)


def test_shops_are_listed_without_their_credentials(folder: Path) -> None:
    """Without credentials the limits and their order are the same, and only the shops file is opened."""
    shop = only(load(folder, EXAMPLE))
    for name in ("acme.key", "beta.token"):
        (folder / name).unlink()
    (folder / "shops.toml").write_text(f'{EXAMPLE}[shops.beta]\ntoken_file = "beta.token"\n[shops.core]\nweight = 3\n')
    listed = listed_shops(folder / "shops.toml")
    assert list(listed) == ["acme", "beta", "core"]
    assert {name: getattr(shop, name) for name in vars(listed["acme"])} == vars(listed["acme"])
    assert (type(listed["acme"]), listed["core"].weight) == (ListedShop, 3)
    assert not hasattr(listed["acme"], "credential")


@pytest.mark.parametrize("text", ["[shops.acme", with_acme("per_second = 0"), "", "[shops.'a b']"])
def test_a_mistake_is_one_for_who_signs_nothing_too(folder: Path, text: str) -> None:
    """Mistakes that need no credential to be found are reported in the same line."""
    (folder / "shops.toml").write_text(text)
    lines = []
    for read in (listed_shops, ShopRegistry.load):
        with pytest.raises(ConfigurationError) as refused:
            read(folder / "shops.toml")
        lines.append(str(refused.value))
    assert lines[0] == lines[1]


@pytest.mark.parametrize(
    ("text", "shops", "others", "complaint"),
    [
        ("[shops.acme", [], (), "not TOML"),
        ("", [], (), "no shops"),
        ("[defaults]\nper_second = 0\n[shops.acme]\n", [], ("acme",), "[defaults] per_second"),
        (
            "[shops.acme]\nper_second = 0\n[shops.beta]\n['shops'.'a b']\n",
            ["beta"],
            ("acme",),
            "[shops.acme] per_second",
        ),
    ],
)
def test_what_can_be_read_of_a_broken_file(
    folder: Path, text: str, shops: list[str], others: tuple[str, ...], complaint: str
) -> None:
    """A broken file still gives the shops whose tables are right, the slugs of the others, and each mistake."""
    (folder / "shops.toml").write_text(text)
    found = readable_shops(folder / "shops.toml")
    assert (list(found.shops), found.others) == (shops, others)
    assert complaint in str(found.problems[0])
    assert all(name in found for name in (*shops, *others))
    assert "nobody" not in found


def test_a_missing_file_is_a_problem_too(folder: Path) -> None:
    """Without a shops file there are no shops, and one line says so; of a good one all are there, without a line."""
    (problem,) = readable_shops(folder / "none.toml").problems
    assert "write the shops file" in str(problem)
    (folder / "shops.toml").write_text(EXAMPLE)
    assert readable_shops(folder / "shops.toml").shops == listed_shops(folder / "shops.toml")
    assert readable_shops(folder / "shops.toml").problems == ()


def test_nothing_changed(folder: Path) -> None:
    """Without a change a refresh says so, and readers keep the very same objects."""
    registry = load(folder, ACME)
    shop = only(registry)
    assert not registry.refresh()
    assert only(registry) is shop
    assert (registry.version, registry.problem, registry.get("beta")) == (1, None, None)


def test_a_changed_file_is_read_again(folder: Path) -> None:
    """A new shop and a new value are there after the next refresh; a comment alone is no change."""
    registry = load(folder, ACME)
    (folder / "shops.toml").write_text(f'{ACME}weight = 3\n[shops.beta]\ntoken_file = "beta.token"\n')
    with structlog.testing.capture_logs() as logs:
        assert registry.refresh()
    assert registry.slugs() == ("acme", "beta")
    assert registry.version == 2
    assert [(entry["event"], entry["shops"]) for entry in logs] == [("shops_changed", 2)]
    (folder / "shops.toml").write_text(f'# ours\n{ACME}weight = 3\n[shops.beta]\ntoken_file = "beta.token"\n')
    assert not registry.refresh()
    assert registry.version == 2


def test_a_rotated_secret_is_read_again(folder: Path) -> None:
    """A secret that changes in place, keeping size and modification time, gives the shop a new credential."""
    registry = load(folder, ACME)
    before = only(registry).credential
    key = folder / "acme.key"
    times = key.stat().st_atime_ns, key.stat().st_mtime_ns
    key.write_bytes(b"t4bret\n")
    os.utime(key, ns=times)
    assert registry.refresh()
    assert only(registry).credential == SigningKey("k1", b"t4bret")
    assert only(registry).credential.fingerprint != before.fingerprint


def test_a_kubernetes_update_is_followed(folder: Path) -> None:
    """Kubernetes swaps one symbolic link above all mounted files: file and secret change together."""
    for number in (1, 2):
        (folder / f"..{number}").mkdir()
        (folder / f"..{number}" / "shops.toml").write_text(with_acme(f"weight = {number}"))
        (folder / f"..{number}" / "acme.key").write_text(f"secret {number}\n")
    (folder / "acme.key").unlink()
    (folder / "..data").symlink_to("..1")
    for name in ("shops.toml", "acme.key"):
        (folder / name).symlink_to(f"..data/{name}")
    registry = ShopRegistry.load(folder / "shops.toml")
    assert not registry.refresh()

    (folder / "..data_tmp").symlink_to("..2")
    (folder / "..data_tmp").rename(folder / "..data")
    assert registry.refresh()
    shop = only(registry)
    assert (shop.weight, shop.credential) == (2, SigningKey("k1", b"secret 2"))


BROKEN = {
    "not TOML": "[shops.acme",
    "a mistake": with_acme("per_second = 0"),
    "half written": ACME[:20],
    "without shops": "",
}


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN.keys())
def test_a_bad_new_version_keeps_the_last_good_one(folder: Path, text: str) -> None:
    """While the file can't be used, the last good version holds, with one warning; once fixed, it is followed."""
    registry = load(folder, ACME)
    path = folder / "shops.toml"
    path.write_text(text)
    with structlog.testing.capture_logs() as logs:
        assert not registry.refresh()
        path.touch()
        assert not registry.refresh()
        assert not registry.refresh()
    problem = registry.problem
    assert problem is not None
    assert problem.startswith(str(path))
    assert [(entry["event"], entry["problem"], entry["log_level"]) for entry in logs] == [
        ("shops_file_refused", problem, "warning")
    ]
    assert (only(registry).per_second, registry.version) == (100, 1)

    path.write_text(ACME)
    with structlog.testing.capture_logs() as logs:
        assert not registry.refresh(), "the shops are what they were"
        path.touch()
        assert not registry.refresh()
    assert [(entry["event"], entry["log_level"]) for entry in logs] == [("shops_file_readable", "info")]
    assert registry.problem is None
    path.write_text(with_acme("per_second = 7"))
    assert registry.refresh()
    assert (only(registry).per_second, registry.version, registry.problem) == (7, 2, None)


def test_a_file_that_vanishes_and_returns(folder: Path) -> None:
    """A file that is gone for a while is a problem, and none once it is back as it was."""
    registry = load(folder, ACME)
    (folder / "shops.toml").rename(folder / "away")
    assert not registry.refresh()
    assert registry.problem is not None
    (folder / "away").rename(folder / "shops.toml")
    assert not registry.refresh()
    assert (str(registry.problem), registry.version) == ("None", 1)


def test_a_secret_that_comes_later(folder: Path) -> None:
    """A shop whose secret is not there yet is taken up when the secret is written, the file untouched."""
    registry = load(folder, ACME)
    (folder / "shops.toml").write_text(f'{ACME}[shops.beta]\nkey_id = "k"\nsecret_file = "late.key"\n')
    assert not registry.refresh()
    assert "late.key" in str(registry.problem)
    (folder / "late.key").write_text("late\n")
    assert registry.refresh()
    assert registry.slugs() == ("acme", "beta")


def test_shops_without_a_file() -> None:
    """Built-in shops take the same table, never change, and have a slug like any other."""
    shop = ShopConfig.of("acme", SigningKey("k1", b"s3cret"), ShopTable(per_second=5, share=0.5))
    registry = ShopRegistry.of(shop)
    assert registry.get("acme") is shop
    assert (registry.slugs(), shop.per_second, registry.refresh()) == (("acme",), 2.5, False)
    with pytest.raises(ValueError, match="not a shop slug"):
        ShopConfig.of("a/b", SigningKey("k1", b"s3cret"))


def test_every_key_is_described() -> None:
    """The reference in the docs is made of the descriptions, so none may be missing."""
    assert [name for name, field in ShopTable.model_fields.items() if not field.description] == []


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        ("per_second = 10\nreserve_per_second = 9", "reserve_per_second: must be at most 8, four fifths of per_second"),
        ("per_day = 100\nreserve_per_day = 100", "reserve_per_day: must be less than per_day"),
        ("reserve_per_second = -1", "reserve_per_second: "),
        ('urgent = "yes"', "urgent: "),
    ],
)
def test_reserves_that_leave_others_nothing_are_refused(folder: Path, table: str, complaint: str) -> None:
    """The rest of a shop's limits is for other jobs, so a reserve can't be all of them."""
    with pytest.raises(ConfigurationError, match=complaint):
        load(folder, f"{ACME}{table}\n")


def test_a_reserve_makes_a_queue_and_follows_the_share(folder: Path) -> None:
    """A shop with a reserve has a queue for urgent jobs. Of its limits' half, half the reserve is kept, rounded up."""
    table = "per_second = 20\nburst = 6\nper_day = 100\nshare = 0.5\nreserve_per_second = 15\nreserve_per_day = 9\n"
    reserved, plain = only(load(folder, ACME + table)), only(load(folder, ACME))
    limits = reserved.limits
    assert (limits.shop.burst, limits.reserve, limits.reserve_per_day) == (3, 2, 5)
    assert (reserved.urgent, plain.urgent) == (True, False)
