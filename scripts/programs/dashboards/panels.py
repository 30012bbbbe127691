"""The kinds of panels that the dashboards are made of. All need a title, a description and a unit."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from grafana_foundation_sdk.builders import bargauge, stat, statetimeline, table, timeseries
from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.models import common, units
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

DATASOURCE = models.DataSourceRef(type_val="prometheus", uid="${datasource}")

Panel = bargauge.Panel | stat.Panel | statetimeline.Panel | table.Panel | timeseries.Panel

P = TypeVar("P", bargauge.Panel, stat.Panel, statetimeline.Panel, table.Panel, timeseries.Panel)

Queries = str | Mapping[str, str]
"""An expression, or legend to expression. A legend takes a label's value by ``{{label}}``."""

Steps = Sequence[tuple[float | None, str]]
"""From which value on (None: from the lowest) which colour."""

CALM: Steps = ((None, "green"),)
ALARMED: Steps = ((None, "green"), (1, "red"))
"""For counts of what should not be there at all."""

SHOP_LINK = (
    "/d/referrals-shop?var-shop={shop}&var-datasource=${{datasource}}&from=${{__from}}&to=${{__to}}"  # a Grafana URL
)


def number(title: str, description: str, unit: str, queries: Queries, *, steps: Steps = CALM, none: str = "-") -> Panel:
    """The value now, large; ``none`` is shown where there is none."""
    panel = stat.Panel().no_value(none).height(4).graph_mode(common.BigValueGraphMode.NONE)
    panel.reduce_options(common_builders.ReduceDataOptions().calcs(["lastNotNull"]))
    return _ask(_describe(panel, title, description, unit, steps), queries, instant=True)


def lines(title: str, description: str, unit: str, queries: Queries, *, stacked: bool = False) -> Panel:
    """Values over time, with a table of the last and the highest."""
    legend = common_builders.VizLegendOptions().show_legend(show_legend=True)
    legend.display_mode(common.LegendDisplayMode.TABLE).placement(common.LegendPlacement.RIGHT)
    panel = timeseries.Panel().height(8).min(0).legend(legend.calcs(["lastNotNull", "max"]))
    panel.fill_opacity(40 if stacked else 8).show_points(common.VisibilityMode.NEVER)
    if stacked:
        panel.stacking(common_builders.StackingConfig().mode(common.StackingMode.NORMAL))
    panel.tooltip(
        common_builders.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI).sort(common.SortOrder.DESCENDING)
    )
    return _ask(_describe(panel, title, description, unit), queries, instant=False)


def shop_lines(title: str, description: str, unit: str, query: str, *, stacked: bool = False) -> Panel:
    """A line for each shop, which leads to its dashboard."""
    panel = lines(title, description, unit, {"{{shop}}": query}, stacked=stacked)
    return panel.data_links([_link("Open the shop", SHOP_LINK.format(shop="${__field.labels.shop}"))])


def bars(title: str, description: str, unit: str, query: str, *, by: str, steps: Steps = CALM) -> Panel:
    """A bar for each value of the label ``by``, as it is now."""
    panel = bargauge.Panel().height(8).orientation(common.VizOrientation.HORIZONTAL).min(0)
    panel.display_mode(common.BarGaugeDisplayMode.BASIC)
    return _ask(_describe(panel, title, description, unit, steps), {f"{{{{{by}}}}}": query}, instant=True)


def states(title: str, description: str, query: str, *, legend: str) -> Panel:
    """A bar over time for each series: coloured while it is above 0."""
    panel = statetimeline.Panel().height(8).show_value(common.VisibilityMode.NEVER).row_height(0.8)
    panel.line_width(0).fill_opacity(70)
    panel.mappings([_mapping({"0": ("no", "transparent"), "1": ("yes", "red")})])
    return _ask(_describe(panel, title, description, units.NoUnit, ALARMED), {legend: query}, instant=False)


def rows(
    title: str,
    description: str,
    columns: Mapping[str, tuple[str, str]],
    *,
    labels: Mapping[str, str],
    none: str,
    sort: str,
    descending: bool = True,
    texts: Mapping[str, Mapping[str, tuple[str, str]]] | None = None,
) -> Panel:
    """A table of what is now: a row for each set of labels that the queries of all ``columns`` have in common.

    ``columns`` is heading to unit and query, ``labels`` label to heading, both in the order of the table; ``texts``
    shows the cells under a heading by other words and a colour.
    """
    panel = table.Panel().height(9).no_value(none).cell_height(common.TableCellHeight.SM)
    panel.align(common.FieldTextAlignment.AUTO).inspect(inspect=False)
    panel.sort_by([common_builders.TableSortByFieldState().display_name(sort).desc(descending)])
    _describe(panel, title, description, units.Short)
    shown = dict(labels)
    for letter, (heading, (unit, query)) in zip("ABCDEFGHIJ", columns.items(), strict=False):
        panel.with_target(Dataquery().expr(query).instant().format(PromQueryFormat.TABLE).ref_id(letter))
        panel.override_by_name(heading, [models.DynamicConfigValue("unit", unit)])
        # A table of one query alone calls its value by no letter.
        shown["Value" if len(columns) == 1 else f"Value #{letter}"] = heading
    for heading, words in (texts or {}).items():
        coloured = models.DynamicConfigValue("custom.cellOptions", {"type": "color-text"})
        panel.override_by_name(heading, [models.DynamicConfigValue("mappings", [_mapping(words)]), coloured])
    if "shop" in labels:
        link = {"title": "Open the shop", "url": SHOP_LINK.format(shop="${__value.raw}")}
        panel.override_by_name(labels["shop"], [models.DynamicConfigValue("links", [link])])
    panel.with_transformation(models.DataTransformerConfig(id_val="merge", options={}))
    order = {name: place for place, name in enumerate(shown)}
    arranged: dict[str, Any] = {
        "includeByName": dict.fromkeys(shown, True),
        "excludeByName": {},
        "indexByName": order,
        "renameByName": shown,
    }
    return panel.with_transformation(models.DataTransformerConfig(id_val="organize", options=arranged))


def _describe(panel: P, title: str, description: str, unit: str, steps: Steps = CALM) -> P:
    thresholds = [models.Threshold(value, colour) for value, colour in steps]
    panel.title(title).description(description).unit(unit).datasource(DATASOURCE)
    return panel.thresholds(builders.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(thresholds))


def _ask(panel: P, queries: Queries, *, instant: bool) -> P:
    named = {"": queries} if isinstance(queries, str) else queries
    for letter, (legend, expression) in zip("ABCDEFGHIJ", named.items(), strict=False):
        query = Dataquery().expr(expression).ref_id(letter).legend_format(legend or panel.build().title or "")
        panel.with_target(query.instant() if instant else query.range())
    return panel


def _mapping(words: Mapping[str, tuple[str, str]]) -> models.ValueMap:
    results = {
        value: models.ValueMappingResult(text=text, color=colour, index=place)
        for place, (value, (text, colour)) in enumerate(words.items())
    }
    return models.ValueMap(options=results)


def _link(title: str, url: str) -> builders.DashboardLink:
    return builders.DashboardLink(title).url(url)
