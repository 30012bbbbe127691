"""`referrals shops`: what an operator sees of the shops, with workers that share a store and without."""

import json
import subprocess

from tests.services import Vhost, wait_until
from tests.services.process import free_ports
from tests.system.commands import Desk


def listed(desk: Desk) -> dict[str, dict[str, object]]:
    """What `referrals shops list --json` prints, by shop."""
    ended = desk.run("shops", "list", "--json")
    assert ended.returncode == 0, ended.stderr
    return {row["shop"]: row for row in json.loads(ended.stdout)}


def test_list_without_a_shared_store(desk: Desk) -> None:
    """Without Redis the file's limits are shown, and that a worker's state is in its memory."""
    desk.write_shops("http://127.0.0.1:9", ["acme", "bolt"], per_second=25, per_day=500)
    rows = listed(desk)
    assert list(rows) == ["acme", "bolt"]
    assert (rows["acme"]["gate"], rows["acme"]["rate_calls_per_second"], rows["acme"]["calls_per_day"]) == (
        None,
        25,
        500,
    )
    ended = desk.run("shops", "list")
    assert "acme" in ended.stdout
    assert "REFERRALS_REDIS_URL is not set" in ended.stderr


def test_list_of_a_working_fleet(desk: Desk, vhost: Vhost, redis_url: str) -> None:
    """A shop that works shows its calls of today and what is left; one with a bad secret shows why it is closed."""
    del vhost
    desk.env["REFERRALS_REDIS_URL"] = redis_url
    desk.write_shops("http://127.0.0.1:9", ["acme", "bolt"])
    sandbox = desk.start_sandbox("--shops", "shops.toml")
    desk.write_shops(sandbox.url, ["acme", "bolt"], per_day=500)
    (desk.folder / "secrets" / "bolt.key").write_text("not the secret that the sandbox has read before")
    rows = [
        {"shop": shop, "customer_email": f"c{n}@example.com", "channel": "sms"}
        for n in range(4)
        for shop in ("acme", "bolt")
    ]
    desk.write_export("export.csv", rows)
    assert desk.run("publish", "export.csv", "--campaign", "spring").returncode == 0
    worker = desk.start("work")

    def shown() -> bool:
        rows = listed(desk)
        return rows["acme"]["calls_today"] == 4 and rows["bolt"]["gate"] == "halted"

    wait_until(lambda: shown() or not worker.running(), 40, "both shops' state")
    rows_now = listed(desk)
    assert (rows_now["acme"]["gate"], rows_now["acme"]["left_today"]) == ("open", 496)
    assert (rows_now["bolt"]["code"], rows_now["bolt"]["until"] is not None) == ("invalid_token", True)
    table = desk.run("shops", "list").stdout
    assert "halted (invalid_token)" in table
    assert "bolt is halted: `referrals shops check bolt` shows why" in table


def test_list_without_its_store(desk: Desk) -> None:
    """A store out of reach is one line and exit code 1; the file's limits are shown."""
    desk.write_shops("http://127.0.0.1:9", ["acme"])
    ended = desk.run("shops", "list", REFERRALS_REDIS_URL="redis://127.0.0.1:9/0")
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert "127.0.0.1:9 is out of reach" in line
    assert "acme" in ended.stdout


def test_list_of_a_broken_file(desk: Desk) -> None:
    """The shops whose tables are right are shown, with a line and exit code 2; such a shop can be limited."""
    desk.write_shops("http://127.0.0.1:9", ["acme", "bolt"])
    with (desk.folder / "shops.toml").open("a") as file:
        file.write("weigth = 3\n")
    ended = desk.run("shops", "list", "--json")
    assert ended.returncode == 2
    assert [row["shop"] for row in json.loads(ended.stdout)] == ["acme"]
    assert "did you mean weight?" in ended.stderr
    lowered = ("--per-second", "1", "--reason", "x", "--for", "1h")
    # So far that the store is asked, which is not there.
    for shop, code in {"acme": 1, "bolt": 2}.items():
        limited = desk.run("shops", "limit", shop, *lowered, REFERRALS_REDIS_URL="redis://127.0.0.1:9/0")
        assert limited.returncode == code, limited.stderr


def test_the_sandbox_prints_a_shop_that_it_knows(desk: Desk) -> None:
    """Its lines go into a shops file as they are, and with the command in their comment the shop's token is taken."""
    (port,) = free_ports(1)
    (desk.folder / "shops.toml").write_text('[shops.acme]\nkey_id = "k1"\nsecret_file = "acme.key"\n\n')
    printed = desk.run("sandbox", "--print-shop", "--port", str(port))
    assert (printed.returncode, printed.stderr) == (0, "")
    with (desk.folder / "shops.toml").open("a") as file:
        file.write(printed.stdout)
    (command,) = [line for line in printed.stdout.splitlines() if "printf" in line]
    subprocess.run(["sh", "-c", command.removeprefix("#")], cwd=desk.folder, check=True)
    (desk.folder / "acme.key").write_text("a secret of acme that is long enough to sign with\n")

    serving = desk.start("sandbox", "--port", str(port))
    wait_until(lambda: serving.stdout, 20, "the sandbox")

    checked = desk.run("shops", "check", "sandbox-shop", "--json")
    assert (checked.returncode, json.loads(checked.stdout)["valid"]) == (0, True), checked.stderr
    for options in (("--shops", "shops.toml"), ("--port", "0")):
        refused = desk.run("sandbox", "--print-shop", *options)
        assert (refused.returncode, refused.stdout, refused.stderr.count("\n")) == (2, "", 1)
