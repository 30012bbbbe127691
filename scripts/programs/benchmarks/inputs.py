"""What the benchmarks are fed: shops files and exports, made up and the same each time."""

from collections.abc import Mapping
from pathlib import Path

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


def write_shops(path: Path, api_url: str, shops: list[str], keys: Mapping[str, float]) -> None:
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


def write_export(path: Path, jobs: int, shops: list[str]) -> None:
    """A row for each of ``jobs`` customers, the shops by turns."""
    with path.open("w") as file:
        file.write("shop,customer_email,channel,reference\n")
        file.writelines(
            f"{shops[number % len(shops)]},{customer(number)},{CHANNEL},ref-{number}\n" for number in range(jobs)
        )


def write_wall(path: Path, jobs: int, shop: str) -> None:
    """A row for each of ``jobs`` friends of one and the same customer."""
    with path.open("w") as file:
        file.write("shop,customer_email,channel,destination\n")
        file.writelines(f"{shop},wall@example.com,email,friend-{number}@example.com\n" for number in range(jobs))


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
