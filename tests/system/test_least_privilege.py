"""Commands that sign nothing need no secret: producers and operators work without the shops' keys."""

import pytest

from tests.system.commands import Desk

UNSIGNED = {
    "publish": ("publish", "campaign.csv", "--campaign", "spring", "--yes"),
    "status": ("status", "spring"),
    "cancel": ("cancel", "spring", "--shop", "acme"),
    "undo": ("cancel", "spring", "--undo"),
    "list": ("shops", "list"),
    "pause": ("shops", "pause", "acme", "--reason", "wrong texts"),
    "resume": ("shops", "resume", "acme"),
    "limit": ("shops", "limit", "bolt", "--per-second", "1", "--reason", "slow", "--for", "1h"),
    "collect": ("collect", "--out", "results.csv", "--until-idle", "0.2"),
    "dead": ("dead", "list"),
}

SIGNED = {
    "work": ("work",),
    "run": ("run", "campaign.csv", "--campaign", "spring", "--out", "run.csv"),
    "check": ("shops", "check", "acme"),
}


@pytest.fixture
def desk(desk: Desk, redis_url: str) -> Desk:
    """Three shops whose credential can't be read in three ways: a key that is away, none that is named, a folder."""
    desk.env["REFERRALS_REDIS_URL"] = redis_url
    desk.write_shops("http://127.0.0.1:9", ["acme", "bolt"])
    with (desk.folder / "shops.toml").open("a") as file:
        file.write("[shops.core]\n")
    (desk.folder / "secrets" / "acme.key").unlink()
    (desk.folder / "secrets" / "bolt.key").unlink()
    (desk.folder / "secrets" / "bolt.key").mkdir()
    rows = [{"shop": shop, "customer_shopid": "c1", "channel": "sms"} for shop in ("acme", "bolt", "core")]
    desk.write_export("campaign.csv", rows)
    return desk


def test_who_signs_nothing_reads_no_secret(desk: Desk) -> None:
    """Publishing, watching, stopping and repairing take the shops file alone."""
    for name, command in UNSIGNED.items():
        ended = desk.run(*command)
        assert (name, ended.returncode) == (name, 0), ended.stderr


@pytest.mark.parametrize("name", SIGNED)
def test_who_signs_fails_in_one_line(desk: Desk, name: str) -> None:
    """Without its key nothing starts, and the line names table, key and file."""
    ended = desk.run(*SIGNED[name])
    assert ended.returncode == 2
    (line,) = ended.stderr.splitlines()
    assert "[shops.acme] secret_file" in line
    assert "secrets/acme.key" in line


def test_a_mistake_in_the_file_is_told_to_all(desk: Desk) -> None:
    """Mistakes that need no secret to be seen are reported to a producer and to an operator, who can still cancel."""
    with (desk.folder / "shops.toml").open("a") as file:
        file.write("per_secnd = 5\n")
    for name, code in {"publish": 2, "status": 2, "cancel": 0}.items():
        ended = desk.run(*UNSIGNED[name])
        assert (name, ended.returncode) == (name, code)
        assert "did you mean per_second?" in ended.stderr
