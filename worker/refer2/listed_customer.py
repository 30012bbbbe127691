"""One line of a shop's customer list: the ids and the address by which Refer2 would find the customer. Pure."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from worker.refer2.shop_lists import ListKind
from worker.text.bounds import LISTED_ROW, loads

_BHIDS = ("bhid", "bh_id")
"""The vendor's own id in ListCustomers3 and in ListCustomers2."""

_SHOPIDS = (
    "shopid",
    "shopify_id",
    "bigcommerce_id",
    "magento_id",
    "woocommerce_id",
    "commercetools_id",
    "salesforce_id",
    "sfcc_id",
    "custom_id",
)
"""Names of the id in the shop system, the first that a row has. The vendor names it after the platform, and other
properties may end in ``_id`` too, so these are listed. ``custom_id`` stands for it only where no other does."""


class ListedCustomer(NamedTuple):
    """One customer of the list; an id that the customer doesn't have is empty."""

    bhid: str
    shopid: str
    email: str


def read_customer(line: bytes) -> ListedCustomer | None:
    """The customer in a line of the list; None where the line is unreadable or names nobody. Pure."""
    try:
        row = loads(line, LISTED_ROW)
    except ValueError:
        return None
    if not isinstance(row, dict):
        return None
    customer = ListedCustomer(_first(row, _BHIDS), _first(row, _SHOPIDS), _id(row.get("email")))
    return customer if any(customer) else None


def _first(row: Mapping[str, Any], names: tuple[str, ...]) -> str:
    for name in names:
        if name in row:
            return _id(row[name])
    return ""


def _id(value: object) -> str:
    # Platforms count their customers, and such an id may come as a number.
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) else ""


CUSTOMERS: ListKind[ListedCustomer] = ListKind(
    # The older call is for shops that are not served the newer one.
    calls=("ListCustomers3", "ListCustomers2"),
    read_row=read_customer,
    name="customer list",
    row="customer",
    rows="customers",
    way_out="leave --match out",
    hint=" (a sandbox has one with --customers)",
    inputs={"fields": "ids,email"},
)
