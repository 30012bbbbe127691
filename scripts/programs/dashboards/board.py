"""What the dashboards have in common: variables, links to each other, annotations, and rows of panels."""

from collections.abc import Sequence
from typing import Any

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.models import dashboard as models

from scripts.programs.dashboards.panels import DATASOURCE, Panel
from scripts.programs.dashboards.queries import DEPLOYS, halts, orders

TAG = "referrals"

GRID = 24
"""Columns of Grafana's grid."""

Row = tuple[str, Sequence[Panel]]
"""A heading (empty: none) and the panels below it, side by side and as wide as each other."""


class Labelled(models.AnnotationQuery):
    """An annotation that says what happened: Grafana's Prometheus plugin reads two keys that the SDK does not know."""

    def __init__(self, title: str, text: str, **rest: Any) -> None:
        super().__init__(datasource=DATASOURCE, **rest)
        self._formats: dict[str, object] = {"titleFormat": title, "textFormat": text}

    def to_json(self) -> dict[str, object]:
        """The SDK's keys, then these."""
        return super().to_json() | self._formats


def board(
    name: str, description: str, rows: Sequence[Row], *variables: builders.QueryVariable, halted: str = ".+"
) -> models.Dashboard:
    """The dashboard `Referrals / <name>`; ``halted`` is whose halts and orders are marked (a regular expression)."""
    made = builders.Dashboard(f"Referrals / {name}").uid(f"referrals-{name.lower()}").description(description)
    made.tags([TAG]).readonly().timezone("browser").refresh("30s").time("now-3h", "now")
    made.tooltip(models.DashboardCursorSync.CROSSHAIR)
    made.link(
        builders.DashboardLink("Referrals")
        .type(models.DashboardLinkType.DASHBOARDS)
        .tags([TAG])
        .icon("external link")
        .keep_time(keep_time=True)
        .include_vars(include_vars=True)
    )
    made.with_variable(builders.DatasourceVariable("datasource").label("Data source").type("prometheus"))
    for variable in variables:
        made.with_variable(variable)
    number = 0
    for heading, panels in rows:
        if heading:
            number += 1
            made.with_row(builders.Row(heading).id(number))
        for panel in panels:
            number += 1
            made.with_panel(panel.id(number).span(GRID // len(panels)))
    model = made.build()
    model.annotations = models.AnnotationContainer(
        list_val=[
            Labelled("{{shop}}: {{reason}}", "No job starts.", name="Halts", icon_color="red", expr=halts(halted)),
            Labelled(
                "{{action}}: {{shop}}",
                "An operator's order; `referrals log` says whose and why.",
                name="Orders",
                icon_color="purple",
                expr=orders(halted),
            ),
            Labelled("{{version}}", "First seen running.", name="Deploys", icon_color="blue", expr=DEPLOYS),
        ]
    )
    return model


def choice(name: str, label: str, description: str, query: str, *, several: bool) -> builders.QueryVariable:
    """A variable whose values Prometheus knows; with ``several`` all are chosen at first."""
    variable = builders.QueryVariable(name).label(label).description(description).query(query).datasource(DATASOURCE)
    variable.refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED).sort(models.VariableSort.ALPHABETICAL_ASC)
    if several:
        variable.multi(multi=True).include_all(include_all=True).all_value(".+")
        variable.current(models.VariableOption(text="All", value="$__all"))
    return variable
