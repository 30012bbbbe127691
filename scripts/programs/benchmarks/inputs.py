"""What the benchmarks are fed: shops files and exports, made up and the same each time."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from worker.model.job import Customer, job_id
from worker.results.rows import header, json_line, row
from worker.sandbox.config import SANDBOX_KEY_ID, SANDBOX_SECRET

UNLIMITED = {"per_second": 100_000, "burst": 100_000, "per_day": 100_000_000}
"""Keys of a shop that is never held back; its customers have one job each and so aren't either."""

CHANNEL = "whatsapp"


def slugs(count: int) -> list[str]:
    """The names of that many shops."""
    return [f"shop-{number:03}" for number in range(count)]


def customer(number: int) -> str:
    """The address of a customer."""
    return f"customer-{number}@example.com"


def write_shops(path: Path, api_url: str, shops: list[str], keys: Mapping[str, float | str]) -> None:
    """A shops file with one credential for all, beside it."""
    secret = path.with_suffix(".key")
    secret.write_text(SANDBOX_SECRET)
    lines = ["[defaults]", f'base_url = "{api_url}"', *(f"{key} = {value}" for key, value in keys.items())]
    for shop in shops:
        lines += credential(shop, path)
    path.write_text("\n".join(lines) + "\n")


def credential(shop: str, path: Path) -> list[str]:
    """A shop's lines in a shops file that :func:`write_shops` made; keys of its own may follow."""
    return [f"[shops.{shop}]", f'key_id = "{SANDBOX_KEY_ID}"', f'secret_file = "{path.with_suffix(".key").name}"']


def write_export(path: Path, jobs: int, shops: list[str], *, first: int = 0) -> None:
    """A row for each of ``jobs`` customers from number ``first`` on, the shops by turns."""
    with path.open("w") as file:
        file.write("shop,customer_email,channel,reference\n")
        file.writelines(
            f"{shops[number % len(shops)]},{customer(number)},{CHANNEL},ref-{number}\n"
            for number in range(first, first + jobs)
        )


def write_wall(path: Path, jobs: int, shop: str) -> None:
    """A row for each of ``jobs`` friends of one and the same customer."""
    with path.open("w") as file:
        file.write("shop,customer_email,channel,destination\n")
        file.writelines(f"{shop},wall@example.com,email,friend-{number}@example.com\n" for number in range(jobs))


def write_results(path: Path, number: int, form: str, *, alike: bool) -> None:
    """A results file of a campaign `bench`, a hundred results a second; one in twenty is rejected.

    ``alike``: the shop says the same to all, but for a name; otherwise each message is of a kind of its own.
    """
    begin = datetime(2026, 11, 27, tzinfo=UTC)
    line = row if form == "csv" else json_line
    with path.open("w", encoding="utf-8") as file:
        file.write(header() if form == "csv" else "")
        for one in range(number):
            ids, shop = Customer(shopid=str(one), email=customer(one)), f"shop-{one % 10}"
            rejected = one % 20 == 0
            text = f"Thanks Ann{one}! Your link is ready." if alike else f"thanks {words(one)}, your link is ready"
            at = (begin + timedelta(seconds=one / 100)).isoformat()
            file.write(
                line(
                    {
                        "schema": 1,
                        "job_id": job_id(shop, "bench", 0, ids, CHANNEL, None),
                        "campaign": "bench",
                        "shop": shop,
                        "run": 0,
                        "line": one + 2,
                        "customer": {"shopid": ids.shopid, "email": ids.email},
                        "channel": CHANNEL,
                        "outcome": "rejected" if rejected else "sent",
                        "code": "no_customers_match_customer_identity" if rejected else None,
                        "status": 404 if rejected else 200,
                        "message": None if rejected else text,
                        "referral": None if rejected else {"link": f"https://acme.example.com/r/{one}"},
                        "attempts": 1,
                        "called_at": at,
                        "finished_at": at,
                        "latency_seconds": 0.05 + one % 977 / 1000,
                    }
                )
            )


def words(number: int) -> str:
    """A number in letters."""
    return "".join("abcdefghij"[int(digit)] for digit in str(number))


WIDE = (
    "Customer ID,First Name,Last Name,Email,Accepts Email Marketing,Default Address City,"
    "Default Address Country Code,Phone,Total Spent,Total Orders,Note,Tags\n"
)
"""The header of an export as wide as a shop system's."""


def write_wide(path: Path, rows: int) -> None:
    """An export with that header and so many rows."""
    with path.open("w") as file:
        file.write(WIDE)
        file.writelines(map(_wide, range(rows)))


def write_large(path: Path, megabytes: int) -> int:
    """The same, of at least that size; returns its rows."""
    rows = 0
    with path.open("w") as file:
        file.write(WIDE)
        while file.tell() < megabytes * 1_000_000:
            file.writelines(map(_wide, range(rows, rows + 10_000)))
            rows += 10_000
    return rows


def _wide(number: int) -> str:
    return (
        f"'{number:013},First{number % 997},Last{number % 7919},{customer(number)},yes,Springfield,US,"
        f"'+1555{number % 10_000_000:07},{number % 90_000 / 100:.2f},{number % 23},"
        f'"a note of no use to the campaign, with a comma",newsletter\n'
    )
