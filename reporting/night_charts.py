"""The night drawn: the site's power under its limit with the price below, and every vehicle's stay and power."""

from collections.abc import Iterable, Sequence

from reporting.charts import (
    HEIGHT,
    area_path,
    block_path,
    level_paths,
    minute_of,
    nice_step,
    nice_top,
    share_pct,
    step_path,
    svg,
)
from reporting.markup import Html, join, tag
from reporting.nights import clock_text, local_hours
from reporting.view import GanttBar, OperationsView, PowerInterval, PowerStep
from reporting.wording import NOT_KNOWN, energy_text

ROW = 20


def power_figure(view: OperationsView) -> Html:
    """Return the site's power against its limit, the price under it, and the figures by hour as a table."""
    power = view.power
    planned = [slot.planned_kw for slot in power]
    if not any(slot.planned_kw is not None or slot.metered_kw is not None for slot in power):
        return tag("p", "There is no plan and no metered power for this night.", class_="none")
    other = [slot.other_kw if slot.other_kw is None else max(0.0, slot.other_kw) for slot in power]
    total = [None if kw is None else kw + (rest or 0.0) for kw, rest in zip(planned, other, strict=True)]
    metered = [_metered_import(slot) for slot in power]
    limit = [slot.limit_kw for slot in power]
    top = nice_top([*total, *metered, *limit])
    drawing = svg(
        len(power),
        HEIGHT,
        tag("path", d=area_path([0.0] * len(power), other, top=top), class_="other"),
        tag("path", d=area_path([rest or 0.0 for rest in other], total, top=top), class_="planned"),
        tag("path", d=step_path(limit, top=top), class_="limit line"),
        tag("path", d=step_path(metered, top=top), class_="metered line"),
        label=_power_in_words(view, total),
        class_="power",
    )
    key = _legend(
        ("planned", "planned charging"),
        ("other", "rest of the site"),
        ("metered", "metered"),
        ("limit", "import limit"),
    )
    return tag(
        "figure",
        tag("figcaption", tag("span", "kW"), key),
        tag("div", drawing, _y_labels(top), _now(view), _hours(view), class_="plot tall"),
        _price_plot(view),
        _hourly_table(view),
    )


def _metered_import(slot: PowerInterval) -> float | None:
    return None if slot.metered_kw is None else slot.metered_kw + max(0.0, slot.other_kw or 0.0)


def _power_in_words(view: OperationsView, total: Sequence[float | None]) -> str:
    known = [(kw, slot) for kw, slot in zip(total, view.power, strict=True) if kw is not None]
    if not known:
        return "Site power as metered; there is no plan"
    peak_kw, slot = max(known, key=lambda pair: pair[0])
    limit = f", limit {slot.limit_kw:.0f} kW then" if slot.limit_kw is not None else ""
    return f"Site power: planned peak {peak_kw:.0f} kW at {clock_text(slot.start_at, view.timezone)}{limit}"


def _price_plot(view: OperationsView) -> Html | None:
    prices = [slot.price_per_kwh for slot in view.power]
    known = [price for price in prices if price is not None]
    if not known:
        return None
    floor = min(0.0, *known)
    above = [None if price is None else price - floor for price in prices]
    top = nice_top(above)
    shape = area_path([0.0] * len(prices), above, top=top)
    line = tag("path", d=step_path(above, top=top), class_="price line")
    prices_seen = sorted({f"{min(known):.3f}", f"{max(known):.3f}"}, key=float)
    words = f"Price of energy: {' to '.join(prices_seen)} {view.currency or ''} per kWh"
    drawing = svg(len(prices), HEIGHT, tag("path", d=shape, class_="price"), line, label=words, class_="power")
    marks = [
        tag("span", f"{price:.2f}", class_="y", style=f"bottom:{100 * (price - floor) / top:.1f}%")
        for price in sorted({floor, max(known)})
    ]
    return join(
        tag("p", words, class_="subcaption"),
        tag("div", drawing, marks, _now(view), class_="plot low"),
    )


def _hourly_table(view: OperationsView) -> Html:
    """Return the same figures as numbers, for those who cannot or will not read them off a chart."""
    names = ("From", "Limit kW", "Rest of site kW", "Planned kW", "Metered kW", f"Price {view.currency or ''}/kWh")
    hours = [view.power[k : k + 4] for k in range(0, len(view.power), 4)]
    rows = [
        tag(
            "tr",
            tag("th", clock_text(hour[0].start_at, view.timezone), scope="row"),
            tag("td", _mean(slot.limit_kw for slot in hour)),
            tag("td", _mean(slot.other_kw for slot in hour)),
            tag("td", _mean(slot.planned_kw for slot in hour)),
            tag("td", _mean(slot.metered_kw for slot in hour)),
            tag("td", _mean((slot.price_per_kwh for slot in hour), digits=3)),
        )
        for hour in hours
    ]
    head = tag("thead", tag("tr", [tag("th", name, scope="col") for name in names]))
    table = tag("table", head, tag("tbody", rows), class_="figures")
    return tag("details", tag("summary", "The figures by hour"), tag("div", table, class_="scroll"))


def _mean(values: Iterable[float | None], *, digits: int = 0) -> str:
    known = [value for value in values if value is not None]
    return f"{sum(known) / len(known):.{digits}f}" if known else NOT_KNOWN


def gantt_table(view: OperationsView) -> Html:
    """Return a row per vehicle: its stay, planned and metered power, its departures, and the energy of both."""
    if not view.gantt:
        return tag("p", "No vehicle is planned or plugged in this night.", class_="none")
    steps = [step for bar in view.gantt for step in (*bar.planned, *bar.metered)]
    full_kw = max((step.power_kw for step in steps), default=1.0) or 1.0
    key = _legend(
        ("stay", "plugged in"),
        ("expected", "expected"),
        ("planned", f"planned, darker is more (full: {full_kw:.0f} kW)"),
        ("charged", "metered"),
        ("leaves", "▲ pull-out"),
    )
    axis = tag(
        "tr",
        tag("th", "Vehicle", scope="col"),
        tag("td", tag("div", _hours(view), class_="axis")),
        tag("th", "kWh", scope="col"),
    )
    rows = [_bar_row(bar, view, full_kw=full_kw) for bar in view.gantt]
    return tag(
        "figure",
        tag("figcaption", key),
        tag("table", tag("thead", axis), tag("tbody", rows), class_="gantt"),
    )


def _bar_row(bar: GanttBar, view: OperationsView, *, full_kw: float) -> Html:
    span = view.span
    now = minute_of(view.as_of, span)
    drawing = svg(
        minute_of(span.end_at, span),
        ROW,
        tag("path", d=block_path(bar.expected, span, y=1, height=18), class_="expected") if bar.expected else None,
        tag("path", d=block_path(bar.plugged, span, y=1, height=18), class_="stay") if bar.plugged else None,
        *_levels(bar.planned, view, full_kw=full_kw, y=3, height=8, name="p"),
        *_levels(bar.metered, view, full_kw=full_kw, y=13, height=4, name="m"),
        tag("path", d=f"M{now} 0V{ROW}", class_="now line") if 0 < share_pct(view.as_of, span) < 100 else None,
        label=_bar_in_words(bar, view),
        class_="bar",
    )
    departures = [
        tag("span", "▲", class_="leaves", style=f"left:{share_pct(at, span):.2f}%", aria_hidden="true")
        for at in bar.departures
    ]
    planned_kwh, metered_kwh = _energy_kwh(bar.planned), _energy_kwh(bar.metered)
    return tag(
        "tr",
        tag("th", bar.vehicle_id, scope="row"),
        tag("td", tag("div", drawing, departures, class_="track")),
        tag(
            "td",
            tag("b", f"{planned_kwh:.0f}"),
            tag("small", f" {metered_kwh:.0f}") if bar.metered else None,
            class_="energy",
        ),
    )


def _levels(
    steps: Sequence[PowerStep], view: OperationsView, *, full_kw: float, y: int, height: int, name: str
) -> list[Html]:
    paths = level_paths(steps, view.span, full_kw=full_kw, y=y, height=height)
    return [tag("path", d=path, class_=f"{name}{level}") for level, path in paths]


def _bar_in_words(bar: GanttBar, view: OperationsView) -> str:
    stays = [
        f"plugged in {clock_text(stay.start_at, view.timezone)} to {clock_text(stay.end_at, view.timezone)}"
        for stay in bar.plugged
    ] or ["not plugged in"]
    leaves = [f"leaves {clock_text(instant, view.timezone)}" for instant in bar.departures]
    energy = [f"{energy_text(_energy_kwh(bar.planned))} planned"]
    if bar.metered:
        energy.append(f"{energy_text(_energy_kwh(bar.metered))} metered")
    return f"{bar.vehicle_id}: " + ", ".join([*stays, *energy, *leaves])


def _energy_kwh(steps: Sequence[PowerStep]) -> float:
    return sum(step.power_kw * (step.end_at - step.start_at).total_seconds() / 3600 for step in steps)


def _legend(*entries: tuple[str, str]) -> Html:
    return tag(
        "span",
        [tag("span", tag("i", class_=f"key {name}"), text, class_="entry") for name, text in entries],
        class_="legend",
    )


def _y_labels(top: float) -> list[Html]:
    step = nice_step(top, ticks=4)
    marks = [k * step for k in range(round(top / step) + 1)]
    return [tag("span", f"{mark:g}", class_="y", style=f"bottom:{100 * mark / top:.1f}%") for mark in marks]


def _hours(view: OperationsView) -> list[Html]:
    return [
        tag("span", clock_text(instant, view.timezone), class_="x", style=f"left:{share_pct(instant, view.span):.2f}%")
        for instant in local_hours(view.span, view.timezone, every=3)
    ]


def _now(view: OperationsView) -> Html | None:
    share = share_pct(view.as_of, view.span)
    if not 0 < share < 100:
        return None
    return tag("span", tag("span", "now"), class_="now", style=f"left:{share:.2f}%")
