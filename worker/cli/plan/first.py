"""The plan that ``publish`` and ``run`` make before they send."""

from collections.abc import Collection
from contextlib import AbstractContextManager

import typer

from worker.campaigns.containers.unchanged import FileStates
from worker.cli import console
from worker.cli.plan.making import Campaign, make_plan
from worker.cli.plan.most_rejects import refuse_more
from worker.cli.plan.predicting import say_doubts
from worker.cli.plan.showing import show_before_asking, show_plan
from worker.errors import UsageError
from worker.planning.matching import Matching


def plan_first(
    campaign: Campaign,
    what: str,
    *,
    dry_run: bool,
    yes: bool,
    max_rejects: str | None,
    as_json: bool,
    prediction: AbstractContextManager[Matching | None],
) -> tuple[int | None, Collection[str]]:
    """Show a person the plan and ask whether to go on; ``what`` is the verb of the question.

    Returns how many jobs there are, and the warnings that were shown. Nothing is read, and the number is None, if
    nobody wants to know: there is no person to ask, or --yes, and no --max-rejects. A dry run ends the command. With a
    ``prediction`` the person is asked however few jobs there are: whoever wants one decides by it.

    Raises:
      UsageError, InputError: as :func:`make_plan`; also if the answer is no, or an export changed meanwhile.
      UnavailableError: there is no customer list to predict by.
      ReferralError: more rows are left out than --max-rejects allows.
    """
    asks = console.is_terminal() and not yes
    if not (dry_run or asks or max_rejects is not None):
        return None, ()
    states = FileStates(campaign.files)
    with prediction as predictor:
        made, importer = make_plan(campaign, predictor, keep_rejects=dry_run)
    shown = console.warn(importer)
    say_doubts(predictor)
    if dry_run:
        show_plan(made, importer, as_json=as_json)
    refuse_more(max_rejects, made.rejected.total(), made.rows)
    if dry_run:
        raise typer.Exit
    above = console.ASK_ABOVE if predictor is None else 0
    if asks and made.jobs > above:
        show_before_asking(made)
        console.confirm(made.jobs, what, yes=yes, above=above)
    # The exports are read once more to be sent, and a question may have waited for an hour: who agreed to this plan, or
    # bounded what is left out, agreed to nothing else.
    changed = states.changed()
    if changed is not None:
        raise UsageError(f"{changed}: was changed after its plan was made, so nothing was done; run the command again")
    return made.jobs, shown
