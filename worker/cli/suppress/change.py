"""``referrals suppress add`` and ``remove``: who may not be called any more, and who may be again."""

from typing import Literal

from worker.cli import console, options, orders
from worker.cli.suppress.reading import Addresses, EveryShop, Map, Shop


def add(
    addresses: Addresses,
    shop: Shop = None,
    every_shop: EveryShop = False,
    mapping: Map = None,
    reason: orders.Reason = None,
    author: orders.As = None,
    as_json: options.Json = False,
) -> None:
    """Suppress addresses: no job is called any more whose customer or destination has one of them.

    It holds from the moment at which this command ends, for jobs that are already queued too, but for calls that start
    within a second of it. Such a job ends as `cancelled` with the code `suppressed` when its turn comes. Addresses
    count as job ids compare them: whatever their case, in their normal spelling. Of an export whose tool tells consent,
    only the people who said no are added; of any other file, everybody.

    Rows of a file that are no address, or can't be read, are named with their lines, and the exit code is 1. All others
    are added all the same: whoever opted out is not to be called because of another's row. Correct these rows and give
    the file again; who is on the list already stays on it.

    Only hashes are kept, by REFERRALS_SUPPRESSION_KEY, which the workers must have too. RabbitMQ keeps a journal of the
    changes, from which a store that has lost its data gets the lists back. Customers whom a job names by an id alone,
    without an address, are not recognised. Others on this machine can read addresses on a command line: prefer a file,
    or - for standard input.

    Example: `referrals suppress add unsubscribed.csv --shop acme --reason "HubSpot's list of today"`
    """
    _change("add", addresses, shop, every_shop, mapping, reason, author, as_json=as_json)


def remove(
    addresses: Addresses,
    shop: Shop = None,
    every_shop: EveryShop = False,
    mapping: Map = None,
    reason: orders.Reason = None,
    author: orders.As = None,
    as_json: options.Json = False,
) -> None:
    """Take addresses off a list: jobs of theirs are called again. Those that have ended meanwhile stay so.

    The list of a shop and that of every shop are separate: an address may be on both. Doubtful rows of a file are as
    those of `add`.

    Example: `referrals suppress remove ann@example.com --shop acme --reason "she asked for it"`
    """
    _change("remove", addresses, shop, every_shop, mapping, reason, author, as_json=as_json)


def _change(
    action: Literal["add", "remove"],
    addresses: list[str],
    shop: str | None,
    every_shop: bool,
    mapping: list[str] | None,
    reason: str | None,
    author: str | None,
    *,
    as_json: bool,
) -> None:
    from worker.cli.settings import load
    from worker.cli.suppress.lists import opened, require_key
    from worker.cli.suppress.reading import called, list_of, read

    given = orders.origin(author, reason)
    loaded = load()
    of = list_of(shop, every_shop=every_shop, loaded=loaded)
    found = read(addresses, mapping, require_key(loaded))
    with opened(loaded, f"suppress {action}") as (store, lists):
        changed = lists.change(action, of, list(found.hashes))
        detail = f"{changed:,} {'address' if changed == 1 else 'addresses'}"
        controls = store.record(f"suppress {action}", given, shop=of, detail=detail)
    now = controls.suppression.lists[of].addresses if of in controls.suppression.lists else 0
    unchanged = len(found.hashes) - changed
    data = {
        "list": of,
        "addresses": len(found.hashes),
        "changed": changed,
        "unchanged": unchanged,
        "others": found.others,
        "without_address": found.blank,
        **found.doubts_data(),
        "on_list": now,
    }
    adds = action == "add"
    rows = [("list", called(of)), ("added" if adds else "removed", f"{changed:,}")]
    if unchanged:
        rows.append(("were on it already" if adds else "were not on it", f"{unchanged:,}"))
    if found.others:
        rows.append(("left out, who said yes", f"{found.others:,}"))
    if found.blank:
        rows.append(("rows without an address", f"{found.blank:,}"))
    rows.append(("on the list now", f"{now:,}"))
    console.summary(rows, data, as_json=as_json)
    if adds and 0 < changed == controls.suppression.addresses:
        console.say(
            "these are the first: from now on a worker without this REFERRALS_SUPPRESSION_KEY calls nobody; "
            "`referrals status` names those that stand still for it"
        )
    found.end("were added" if adds else "were removed")
