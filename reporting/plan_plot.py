"""A plan as a small picture that stands alone: for metadata in Dagster, which shows Markdown with a data address."""

import base64
from collections.abc import Mapping
from typing import Any

from reporting.charts import HEIGHT, area_path, nice_top, step_path, svg
from reporting.markup import Html, tag
from reporting.site_power import plan_signals

# It is shown as a picture and cannot see the page around it, so it brings its own colours for light and dark.
STYLE = Html(
    "path{vector-effect:non-scaling-stroke}.other{fill:#9aa4b1}.planned{fill:#1f6fc4}"
    ".limit{fill:none;stroke:#b3190e;stroke-width:2;stroke-dasharray:7 4}"
    "@media(prefers-color-scheme:dark){.planned{fill:#4f9df0}.limit{stroke:#ff8d80}}"
)


def plan_svg(problem: Mapping[str, Any], plan: Mapping[str, Any]) -> str:
    """Return an SVG document: planned charging on top of the rest of the site, under the import limit.

    Args:
        problem: A ``planning_problem/1`` document.
        plan: The ``plan/1`` document made for it.
    """
    signals = plan_signals(problem, plan)
    other = [max(0.0, kw) for kw in signals["other_kw"]]
    total = [rest + kw for rest, kw in zip(other, signals["planned_kw"], strict=True)]
    limit = signals["limit_kw"].to_list()
    top = nice_top([*total, *limit])
    picture = svg(
        len(total),
        HEIGHT,
        tag("style", STYLE),
        tag("path", d=area_path([0.0] * len(other), other, top=top), class_="other"),
        tag("path", d=area_path(other, total, top=top), class_="planned"),
        tag("path", d=step_path(limit, top=top), class_="limit"),
        label=_in_words(total, limit),
        class_="plan",
    )
    return picture.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" width="720" height="160" ', 1)


def plan_markdown(problem: Mapping[str, Any], plan: Mapping[str, Any]) -> str:
    """Return Markdown with the picture inside it, and its peak and limit in words."""
    signals = plan_signals(problem, plan)
    total = (signals["other_kw"].clip(0.0) + signals["planned_kw"]).to_list()
    data = base64.b64encode(plan_svg(problem, plan).encode()).decode()
    words = _in_words(total, signals["limit_kw"].to_list())
    return f"![{words}](data:image/svg+xml;base64,{data})\n\n{words}."


def _in_words(total: list[float], limit: list[float]) -> str:
    return f"Planned peak {max(total):.0f} kW, import limit {min(limit):.0f} to {max(limit):.0f} kW"
