"""``referrals suppress list``: the lists, and whether the store has all of them."""

from worker.cli import console, options


def list_lists(as_json: options.Json = False) -> None:
    """Show the suppression lists with their sizes. Addresses can't be shown: only hashes of them are kept.

    Exit code 1: the store has lost changes, or the lists are of another key, and no worker that has noticed calls
    anybody; or RabbitMQ has lost its journal of the changes, and workers go on by the store's lists.

    Example: `referrals suppress list`
    """
    import typer

    from worker.cli.settings import load
    from worker.cli.store import shared_store
    from worker.cli.suppress.lists import connection
    from worker.cli.suppress.reading import called
    from worker.cli.tables import Row
    from worker.model.suppression import NO_KEY
    from worker.rabbitmq.suppression_journal import journal_length

    loaded = load()
    with shared_store(loaded, "suppress list") as store:
        found = store.controls().suppression
    journal = journal_length(connection(loaded))
    ours = loaded.address_key.fingerprint if loaded.address_key is not None else NO_KEY
    problem = None
    if found.number < journal:
        problem = (
            f"the store has {found.number:,} of {journal:,} changes of the lists, and no worker that has noticed calls "
            "anybody; `referrals suppress restore` brings the others back"
        )
    elif found.number > journal:
        problem = (
            f"RabbitMQ has lost {found.number - journal:,} of {found.number:,} changes of the lists, and the store has "
            "them still; `referrals suppress restore` writes them down again"
        )
    elif found.key not in {NO_KEY, ours}:
        problem = "REFERRALS_SUPPRESSION_KEY is not the key of these lists"
    if as_json:
        lists = {of: {"addresses": each.addresses, "changed_by": each.number} for of, each in found.lists.items()}
        console.print_json({"lists": lists, "changes": found.number, "journal": journal, "problem": problem})
    elif found.lists:
        rows = [Row([called(of), f"{each.addresses:,}"]) for of, each in sorted(found.lists.items())]
        console.table(["list", "addresses"], rows, texts=1)
    else:
        console.say("nobody is suppressed")
    if problem is not None:
        console.say(problem)
        raise typer.Exit(1)
