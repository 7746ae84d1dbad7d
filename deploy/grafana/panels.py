"""Panels and variables as all dashboards have them: every panel with a description, a unit and named series."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, Self

from grafana_foundation_sdk.builders import common as builders
from grafana_foundation_sdk.builders import dashboard, heatmap, stat, timeseries
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.variants import Dataquery as AnyQuery
from grafana_foundation_sdk.models import common, prometheus
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode

SOURCE = models.DataSourceRef(type_val="prometheus", uid="${datasource}")
COLUMNS = 24
"""Of Grafana's grid."""
_ALL = models.VariableOption(selected=True, text="All", value="$__all")


@dataclass(frozen=True, slots=True)
class Query:
    """One expression and what its series are called."""

    expression: str
    legend: str


class _Common(Protocol):
    """What the builders of all kinds of panels have."""

    def id(self, id_val: int) -> Self: ...
    def grid_pos(self, grid_pos: models.GridPos) -> Self: ...
    def build(self) -> models.Panel: ...


@dataclass(frozen=True, slots=True)
class Panel:
    """A panel and the room it takes."""

    builder: _Common
    width: int
    height: int


def series(
    title: str,
    description: str,
    unit: str,
    *queries: Query,
    width: int = 8,
    stacked: bool = False,
    limits: tuple[float | None, float | None] = (0.0, None),
) -> Panel:
    """Curves over time.

    Args:
        title: Of the panel.
        description: What to read from it.
        unit: Grafana's name of it.
        queries: What is drawn.
        width: In columns.
        stacked: Whether the curves are parts of a whole.
        limits: Of the vertical axis; None for as far as the data goes.
    """
    legend = (
        builders.VizLegendOptions()
        .show_legend(True)
        .display_mode(common.LegendDisplayMode.LIST)
        .placement(common.LegendPlacement.BOTTOM)
    )
    panel = (
        timeseries.Panel()
        .title(title)
        .description(description)
        .unit(unit)
        .datasource(SOURCE)
        .legend(legend)
        .tooltip(builders.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI))
        .line_width(1.0)
        .fill_opacity(30.0 if stacked else 5.0)
        .show_points(common.VisibilityMode.NEVER)
        .targets(_targets(queries))
    )
    low, high = limits
    if low is not None:
        panel.min(low)
    if high is not None:
        panel.max(high)
    if stacked:
        panel.stacking(builders.StackingConfig().mode(common.StackingMode.NORMAL).group("A"))
    return Panel(panel, width, 8)


def number(
    title: str,
    description: str,
    unit: str,
    query: Query,
    *,
    width: int = 4,
    bad_below: float | None = None,
    bad_above: float | None = None,
    decimals: int | None = None,
) -> Panel:
    """One number, the last there is; red on the bad side of a bound."""
    steps = [models.Threshold(value=None, color="green")]
    if bad_below is not None:
        steps = [models.Threshold(value=None, color="red"), models.Threshold(value=bad_below, color="green")]
    if bad_above is not None:
        steps.append(models.Threshold(value=bad_above, color="red"))
    panel = (
        stat.Panel()
        .title(title)
        .description(description)
        .unit(unit)
        .datasource(SOURCE)
        .graph_mode(common.BigValueGraphMode.AREA)
        .color_mode(common.BigValueColorMode.VALUE)
        .reduce_options(builders.ReduceDataOptions().calcs(["lastNotNull"]))
        .thresholds(dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(steps))
        .targets(_targets([query]))
    )
    if decimals is not None:
        panel.decimals(decimals)
    return Panel(panel, width, 4)


def heat(title: str, description: str, unit: str, query: Query, *, width: int = 8) -> Panel:
    """A histogram over time, a colour a bucket."""
    target = _target(query, 0).format(prometheus.PromQueryFormat.HEATMAP)
    panel = (
        heatmap.Panel()
        .title(title)
        .description(description)
        .unit(unit)
        .datasource(SOURCE)
        .y_axis(heatmap.YAxisConfig().unit(unit))
        .color(heatmap.HeatmapColorOptions().mode(HeatmapColorMode.SCHEME).scheme("Oranges").steps(64))
        .show_legend()
        .targets([target])
    )
    return Panel(panel, width, 8)


def board(
    title: str,
    uid: str,
    description: str,
    variables: list[Builder[models.VariableModel]],
    rows: dict[str, list[Panel]],
) -> models.Dashboard:
    """A dashboard: rows of panels from left to right, a new line where one is full."""
    built = (
        dashboard.Dashboard(title)
        .uid(uid)
        .description(description)
        .tags(["edit-rrm"])
        .timezone("browser")
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .time("now-3h", "now")
        .refresh("30s")
        .readonly()
        .link(
            dashboard.DashboardLink("Edit-RRM")
            .type(models.DashboardLinkType.DASHBOARDS)
            .tags(["edit-rrm"])
            .as_dropdown(True)
            .include_vars(True)
            .keep_time(True)
        )
    )
    for variable in variables:
        built.with_variable(variable)
    made = built.build()
    assert made.templating is not None
    for one in made.templating.list_val or []:
        # The SDK gives every variable what only those of intervals have in Grafana's schema.
        one.auto = one.auto_count = one.auto_min = None
    made.panels = []
    number_of, top = 0, 0
    for name, panels in rows.items():
        number_of += 1
        made.panels.append(
            dashboard.Row(name).id(number_of).grid_pos(models.GridPos(x=0, y=top, w=COLUMNS, h=1)).build()
        )
        top += 1
        left, tallest = 0, 0
        for panel in panels:
            if left + panel.width > COLUMNS:
                left, top, tallest = 0, top + tallest, 0
            number_of += 1
            place = models.GridPos(x=left, y=top, w=panel.width, h=panel.height)
            made.panels.append(panel.builder.id(number_of).grid_pos(place).build())
            left, tallest = left + panel.width, max(tallest, panel.height)
        top += tallest
    return made


def variables(namespaces_of: str, *more: Builder[models.VariableModel]) -> list[Builder[models.VariableModel]]:
    """Data source, namespace, and what else there is to choose."""
    source = (
        dashboard.DatasourceVariable("datasource")
        .label("Data source")
        .description("The Prometheus that scrapes the service")
        .type("prometheus")
    )
    namespace = choice("namespace", "Namespace", "Of the service", f"label_values({namespaces_of}, namespace)")
    return [source, namespace, *more]


def choice(name: str, label: str, description: str, query: str) -> dashboard.QueryVariable:
    """A variable of several values that Prometheus knows, all of them at first."""
    return (
        dashboard.QueryVariable(name)
        .label(label)
        .description(description)
        .datasource(SOURCE)
        .query({"query": query, "refId": f"variable-{name}"})
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .current(_ALL)
    )


def judge_choice() -> dashboard.QueryVariable:
    """Judges by the name on their card."""
    return choice(
        "model",
        "Model",
        "Name on the judge's card; of a remote judge, the model as its servers name it",
        'label_values(edit_rrm_judge_info{namespace=~"$namespace"}, model)',
    )


def _targets(queries: tuple[Query, ...] | list[Query]) -> list[Builder[AnyQuery]]:
    return [_target(query, index) for index, query in enumerate(queries)]


def _target(query: Query, index: int) -> Dataquery:
    return (
        Dataquery()
        .expr(query.expression)
        .legend_format(query.legend)
        .ref_id(chr(ord("A") + index))
        .range()
        .datasource(SOURCE)
    )
