"""Shows a plan: as a command's result, or before a person is asked."""

from worker.campaigns.importer import Importer
from worker.cli import console
from worker.cli.plan.text import lines_of
from worker.planning.plan import Plan


def show_plan(plan: Plan, importer: Importer, *, as_json: bool) -> None:
    """Print the plan as a command's result."""
    if as_json:
        console.print_json(plan.data())
    else:
        for line in lines_of(plan, console.width()):
            console.show(line)
        if importer.reject_files:
            console.show(f"rows left out are in {', '.join(map(str, importer.reject_files))}")
    for remark in plan.remarks:
        console.say(remark)


def show_before_asking(plan: Plan) -> None:
    """Print the plan where the question will be."""
    for line in lines_of(plan, console.stderr().width):
        console.ask_about(line)
    for remark in plan.remarks:
        console.say(remark)
