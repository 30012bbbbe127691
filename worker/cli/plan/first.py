"""The plan that ``publish`` and ``run`` make before they send."""

from collections.abc import Collection

import typer

from worker.cli import console
from worker.cli.plan.making import Campaign, make_plan
from worker.cli.plan.most_rejects import refuse_more
from worker.cli.plan.showing import show_before_asking, show_plan


def plan_first(
    campaign: Campaign, what: str, *, dry_run: bool, yes: bool, max_rejects: str | None, as_json: bool
) -> tuple[int | None, Collection[str]]:
    """Show a person the plan and ask whether to go on; ``what`` is the verb of the question.

    Returns how many jobs there are, and the warnings that were shown. Nothing is read, and the number is None, if
    nobody wants to know: there is no person to ask, or --yes, and no --max-rejects. A dry run ends the command.

    Raises:
      UsageError, InputError: as :func:`make_plan`; also if the answer is no.
      ReferralError: more rows are left out than --max-rejects allows.
    """
    asks = console.is_terminal() and not yes
    if not (dry_run or asks or max_rejects is not None):
        return None, ()
    made, importer = make_plan(campaign, keep_rejects=dry_run)
    shown = console.warn(importer)
    if dry_run:
        show_plan(made, importer, as_json=as_json)
    refuse_more(max_rejects, made.rejected.total(), made.rows)
    if dry_run:
        raise typer.Exit
    if asks and made.jobs > console.ASK_ABOVE:
        show_before_asking(made)
        console.confirm(made.jobs, what, yes=yes)
    return made.jobs, shown
