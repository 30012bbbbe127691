"""Results that lie in PostgreSQL, merged as those of a file are."""

import csv
import re

from tests.services import wait_until
from tests.system.commands import Desk
from tests.system.test_golden_exports import exports_of


def test_results_in_postgresql_come_back_into_the_export(desk: Desk, postgres_url: str) -> None:
    """By `--postgres` and by the environment; an upload of a rehearsal is refused, wherever its results are."""
    desk.write_shops("http://127.0.0.1:9", ["klaviyo"])
    sandbox = desk.start_sandbox("--shops", "shops.toml")
    desk.write_shops(sandbox.url, ["klaviyo"])
    export = exports_of("klaviyo")
    options = ("--shop", "klaviyo", "--campaign", "spring", "--channel", "whatsapp")
    published = desk.run("publish", *export, *options, "--rejects", "rejects.csv")
    assert published.returncode == 0, published.stderr
    desk.start("work", "--threads", "2")
    wait_until(lambda: len(sandbox.calls()) == 2, 60, "both calls")
    collected = desk.run("collect", "--until-idle", "2", REFERRALS_POSTGRES_URL=postgres_url)
    assert collected.returncode == 0, collected.stderr

    scheme, login, place = re.fullmatch(r"(\w+://)(.*)@(.*)", postgres_url).groups()  # type: ignore[union-attr]
    user, _, password = login.partition(":")
    for name, asked, env in (
        ("first.csv", ("--postgres", f"{scheme}{user}@{place}"), {"PGPASSWORD": password}),
        ("second.csv", (), {"REFERRALS_POSTGRES_URL": postgres_url}),
    ):
        done = desk.run("merge", *export, *asked, "--campaign", "spring", "--out", name, **env)
        assert done.returncode == 0, done.stderr
        with (desk.folder / name).open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert [row["Email"] for row in rows if row["referral_link"]] == ["ann@example.com", "Gus@example.org"]
        assert len(rows) == 8

    named = (*export, "--campaign", "spring")
    refused = desk.run("merge", *named, "--for", "klaviyo", "--out", "l.csv", REFERRALS_POSTGRES_URL=postgres_url)
    assert refused.returncode == 1
    assert "results of a rehearsal" in refused.stderr
    assert not (desk.folder / "l.csv").exists()

    # The next campaign's results may not be there yet, and these are the same people.
    unnamed = desk.run("merge", *export, "--out", "m.csv", REFERRALS_POSTGRES_URL=postgres_url)
    assert (unnamed.returncode, (desk.folder / "m.csv").exists()) == (2, False)
    assert "--campaign: is missing; PostgreSQL may keep results of earlier campaigns" in unnamed.stderr
