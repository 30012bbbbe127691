"""`REFERRALS_PRODUCER`: a campaign published by the exchange of one producer."""

import pytest

from tests.services import wait_until
from tests.system.commands import Desk

PUBLISH = ("publish", "export.csv", "--campaign", "spring", "--json")


def test_a_campaign_of_one_producer(desk: Desk) -> None:
    """It is sent where the workers' file names the producer for the shop, and refused in a line where it doesn't."""
    desk.write_shops("http://127.0.0.1:9", ["acme"])
    sandbox = desk.start_sandbox("--shops", "shops.toml")
    desk.write_shops(sandbox.url, ["acme"], producers=["crm"])
    desk.write_export("export.csv", [{"shop": "acme", "customer_shopid": "c1", "channel": "sms"}])
    desk.start("work")
    wait_until(lambda: desk.run(*PUBLISH, REFERRALS_PRODUCER="crm").returncode == 0, 60, "the worker to let it in")
    desk.start("collect", "--out", "results.csv")
    wait_until(lambda: len(desk.results()) == 1, 30, "the result")
    refused = desk.run(*PUBLISH, REFERRALS_PRODUCER="somebody")
    assert refused.returncode == 1
    assert "shop acme takes no jobs by the exchange referrals.from.somebody" in refused.stderr


@pytest.mark.parametrize("name", ["acme.crm", "-crm", "x" * 64])
def test_a_name_that_is_none(desk: Desk, name: str) -> None:
    """It is refused before anything is done, from the environment as from the shops file."""
    desk.write_shops("http://127.0.0.1:9", ["acme"], producers=["crm"])
    desk.write_export("export.csv", [{"shop": "acme", "customer_shopid": "c1", "channel": "sms"}])
    ended = desk.run(*PUBLISH, REFERRALS_PRODUCER=name)
    assert (ended.returncode, "REFERRALS_PRODUCER: " in ended.stderr) == (2, True)
    desk.write_shops("http://127.0.0.1:9", ["acme"], producers=[name])
    ended = desk.run(*PUBLISH)
    assert (ended.returncode, "producers: " in ended.stderr) == (2, True)
