"""``referrals suppress check``: whether addresses are suppressed, and by which list."""

from worker.cli import console, options
from worker.cli.suppress.reading import Addresses, Map, Shop


def check(addresses: Addresses, shop: Shop = None, mapping: Map = None, as_json: options.Json = False) -> None:
    """Say which addresses are suppressed, and by which list; of files, how many.

    With --shop the lists that concern this shop are looked at, otherwise all. Rows of a file that are no address, or
    can't be read, are named with their lines; all others are looked up, and the exit code is 1, as of `add`.

    Example: `referrals suppress check ann@example.com`
    """
    from worker.cli.settings import load
    from worker.cli.store import shared_store
    from worker.cli.suppress.lists import require_key
    from worker.cli.suppress.reading import called, read
    from worker.model.controls import EVERY_SHOP

    loaded = load()
    key = require_key(loaded)
    found = read(addresses, mapping, key)
    with shared_store(loaded, "suppress check") as store:
        lists = [of for of in sorted(store.controls().suppression.lists) if shop is None or of in {shop, EVERY_SHOP}]
        on = {of: store.suppressed(of, list(found.hashes)) for of in lists}
    places = {address: [of for of in lists if on[of][number]] for number, address in enumerate(found.hashes)}
    suppressed = sum(1 for of in places.values() if of)
    data = {
        "addresses": len(places),
        "suppressed": suppressed,
        "by_list": {of: sum(on[of]) for of in lists},
        **found.doubts_data(),
        "named": {named: places[hashed] for named, hashed in found.named.items()},
    }
    rows = [
        (named, ", ".join(map(called, places[hashed])) or "not suppressed") for named, hashed in found.named.items()
    ]
    if len(places) > len(found.named) or not found.named:
        rows += [("addresses", f"{len(places):,}"), ("suppressed", f"{suppressed:,}")]
        rows += [(f"  in {called(of)}", f"{sum(on[of]):,}") for of in lists]
    console.summary(rows, data, as_json=as_json)
    found.end("were looked up")
