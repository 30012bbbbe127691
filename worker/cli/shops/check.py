"""``referrals shops check``: tests a shop's credential and shows its limits."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from worker.cli import console, options
from worker.errors import ReferralError
from worker.instants import SECOND

if TYPE_CHECKING:
    from worker.model.verdicts import Verdict
    from worker.shops.config import ShopConfig

SHOWN_OF_KEY_ID = 16
"""Longest key id that is shown in full; of a longer one half as many characters are shown."""


class CheckError(ReferralError):
    """A shop's credential is refused, or could not be tested."""


def check(
    shop: Annotated[str, typer.Argument(help="Slug of the shop.", show_default=False)],
    as_json: options.Json = False,
) -> None:
    """Test a shop's credential with the provider's `Status2`, which changes nothing, and show the shop's limits.

    Exit code 0: the credential is accepted. Exit code 1: it is refused, nothing answers, or the answer is not Refer2's;
    in the last two cases `valid` is unknown. If the shop uses customer tokens, its key is tested with a shop token. No
    secret and no token is printed.

    Example: `referrals shops check acme`
    """
    # Imported only when used: the other commands about shops call nobody and need no HTTP library.
    from worker.app import build_client
    from worker.cli.settings import load
    from worker.cli.shop_lookup import shop_of
    from worker.cli.times import instant_of, moment
    from worker.clock import SystemClock
    from worker.shops.file import read_shops

    loaded = load()
    config = shop_of(shop, read_shops(loaded.shops, plaintext_hosts=loaded.plaintext_hosts), loaded)
    # The workers' own client, so that proxy, authorities and time-outs are tested as well.
    clock = SystemClock()
    client = build_client(loaded, clock)
    try:
        # A customer token would have to name a customer.
        verdict = client.status(replace(config, token="shop"))  # noqa: S106 - a kind of token, not a token
    finally:
        client.close()
    data = _data(config) | {"valid": _is_valid(verdict), "problem": _problem(config, verdict)}
    if as_json:
        console.summary([], data, as_json=True)
    else:
        expires = data["credential_expires"]
        shown_data = data | {
            "valid": "unknown" if data["valid"] is None else data["valid"],
            "credential_expires": moment(instant_of(expires), seconds=True) if expires is not None else None,
        }
        rows = [(name.replace("_", " "), shown(value)) for name, value in shown_data.items() if name != "problem"]
        console.summary(rows, data, as_json=False)
    if data["problem"]:
        raise CheckError(data["problem"])


def _data(config: ShopConfig) -> dict[str, Any]:
    from worker.instants import rfc3339
    from worker.shops.credentials import ReadyToken

    limits, credential = config.limits, config.credential
    ready = isinstance(credential, ReadyToken)
    expires_at = credential.expires_at if isinstance(credential, ReadyToken) else None
    return {
        "shop": config.slug,
        "url": config.base_url,
        "api_version": config.api_version,
        "credential": "ready-made token" if ready else f"key {_recognisable(getattr(credential, 'key_id', ''))}",
        "credential_expires": rfc3339(int(expires_at * SECOND)) if expires_at is not None else None,
        "token": config.token,
        "calls_per_second": round(SECOND / limits.shop.interval, 3),
        "burst": limits.shop.burst,
        "calls_per_day": limits.shop_per_day,
        "kept_for_urgent_per_second": limits.reserve,
        "kept_for_urgent_per_day": limits.reserve_per_day,
        "customer_calls_per_second": round(SECOND / limits.customer.interval, 3),
        "customer_calls_per_day": limits.customer_per_day,
        "max_in_flight": config.max_in_flight,
    }


def _recognisable(key_id: str) -> str:
    # Enough to tell two keys apart. If somebody pasted the secret here by mistake, most of it stays hidden.
    return key_id if len(key_id) <= SHOWN_OF_KEY_ID else f"{key_id[: SHOWN_OF_KEY_ID // 2]}…"


def _is_valid(verdict: Verdict | None) -> bool | None:
    # None: no answer that says anything about the credential.
    from worker.model.verdicts import Halted

    match verdict:
        case None:
            return True
        case Halted(code="invalid_token"):
            return False
        case _:
            return None


def _problem(config: ShopConfig, verdict: Verdict | None) -> str | None:
    from worker.model.verdicts import Halted, Retry

    where = f"shop {config.slug} at {config.base_url}"
    match verdict:
        case None:
            return None
        case Halted(status=407, code=code):
            return f"{where}: the proxy refuses the worker ({code}); check REFERRALS_HTTP_PROXY"
        case Halted(code=code):
            return f"{where}: refused ({code}); check its key_id, secret_file or token_file, and api_version"
        case Retry(status=None):
            return f"{where}: is out of reach (no connection), so its credential could not be checked"
        case _:
            code = getattr(verdict, "code", "rate_limit_exceeded")
            if not verdict.status:
                return f"{where}: no answer ({code}); check base_url, and try again"
            status = f"status {verdict.status}"
            return f"{where}: the answer is not Refer2's ({status}, {code}); check base_url and the shop's slug"


def shown(value: object) -> str:
    """A value as text for a person: `yes`, `no`, `-` for None, numbers with separators."""
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case float():
            return f"{value:,g}"
        case _:
            return f"{value}"
