"""``referrals suppress restore``: a store that has lost its data gets the lists back, and RabbitMQ its journal."""

from worker.cli import console, options, orders


def restore(reason: orders.Reason = None, author: orders.As = None, as_json: options.Json = False) -> None:
    """Bring the suppression lists back into a store that has lost them, from RabbitMQ's journal.

    Until then no worker calls anybody who may be on them. Where the journal was lost, it is written anew from the
    store's lists. It changes nothing where both have everything.

    Example: `referrals suppress restore --reason "the store was empty after the failover"`
    """
    from worker.cli.settings import load
    from worker.cli.suppress.lists import opened

    given = orders.origin(author, reason)
    loaded = load()
    with opened(loaded, "suppress restore") as (store, lists):
        found = store.controls().suppression
        if lists.restored or lists.rewritten:
            changes = f"{lists.restored:,} {'change' if lists.restored == 1 else 'changes'}"
            detail = "the journal" if lists.rewritten else changes
            found = store.record("suppress restore", given, detail=detail).suppression
    data = {"restored": lists.restored, "rewritten": lists.rewritten, "addresses": found.addresses}
    rows = [
        ("changes restored", f"{lists.restored:,}"),
        ("journal written anew", "yes" if lists.rewritten else "no"),
        ("addresses on all lists", f"{found.addresses:,}"),
    ]
    console.summary(rows, data, as_json=as_json)
