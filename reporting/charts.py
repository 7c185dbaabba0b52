"""Charts as inline SVG without text: shapes stretch with the page, words and numbers stand beside them in HTML.

Colours are CSS classes, so that a chart follows the page into the dark and onto paper. By hand rather than by Altair:
a chart of a chart library brings its own fonts and colours, and text that shrinks with the screen.
"""

import math
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from itertools import groupby

from reporting.markup import Html, tag
from reporting.view import PowerStep, Span

HEIGHT = 100.0
LEVELS = 4

Values = Sequence[float | None]


def svg(width: float, height: float, *shapes: Html | None, label: str, class_: str) -> Html:
    """Return a picture that stretches to its box; ``label`` says in words what it shows."""
    return tag(
        "svg",
        *shapes,
        viewBox=f"0 0 {width:g} {height:g}",
        preserveAspectRatio="none",
        role="img",
        aria_label=label,
        class_=class_,
    )


def nice_top(values: Iterable[float | None]) -> float:
    """Return a round number at or above all values, and above zero."""
    highest = max((value for value in values if value is not None), default=0.0)
    return nice_step(highest, ticks=4) * max(1, math.ceil(highest / nice_step(highest, ticks=4) - 1e-9))


def nice_step(highest: float, *, ticks: int) -> float:
    """Return 1, 2, 2.5 or 5 times a power of ten that divides ``highest`` into at most ``ticks`` steps."""
    if highest <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(highest / ticks))
    return next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power * ticks >= highest * (1 - 1e-9))


def step_path(values: Values, *, top: float) -> str:
    """Return a line with a step per slot; unknown values leave a gap."""
    parts = []
    for run in _known_runs(values):
        parts.append(f"M{run[0]} {_y(values[run[0]], top)}")
        parts.extend(f"V{_y(values[k], top)}H{k + 1}" for k in run)
    return "".join(parts)


def area_path(low: Values, high: Values, *, top: float) -> str:
    """Return the area between two step lines, where both are known."""
    parts = []
    for run in _known_runs(low, high):
        forth = "".join(f"V{_y(high[k], top)}H{k + 1}" for k in run)
        back = "".join(f"V{_y(low[k], top)}H{k}" for k in reversed(run))
        parts.append(f"M{run[0]} {_y(low[run[0]], top)}{forth}{back}Z")
    return "".join(parts)


def _known_runs(*series: Values) -> Iterable[range]:
    """Return the stretches of slots in which all series are known."""
    known = [all(value is not None for value in slot) for slot in zip(*series, strict=True)]
    for is_known, group in groupby(range(len(known)), key=known.__getitem__):
        slots = list(group)
        if is_known:
            yield range(slots[0], slots[-1] + 1)


def _y(value: float | None, top: float) -> str:
    return f"{HEIGHT - HEIGHT * min(max(value or 0.0, 0.0), top) / top:.4g}"


def share_pct(instant: datetime, span: Span) -> float:
    """Return where an instant lies in a span, in percent of it, kept within 0 and 100."""
    return min(100.0, max(0.0, 100 * ((instant - span.start_at) / (span.end_at - span.start_at))))


def minute_of(instant: datetime, span: Span) -> int:
    """Return the minute of a span at which an instant lies, kept within it."""
    return round(share_pct(instant, span) / 100 * ((span.end_at - span.start_at) / timedelta(minutes=1)))


def block_path(spans: Iterable[Span], within: Span, *, y: int, height: int) -> str:
    """Return a block per span, one unit a minute."""
    edges = [(minute_of(span.start_at, within), minute_of(span.end_at, within)) for span in spans]
    return "".join(f"M{begin} {y}h{end - begin}v{height}H{begin}z" for begin, end in edges if end > begin)


def level_paths(
    steps: Sequence[PowerStep], within: Span, *, full_kw: float, y: int, height: int
) -> list[tuple[int, str]]:
    """Return a path per level of power, 1 (least) to ``LEVELS`` (full), of adjoining blocks of that level."""
    spans: dict[int, list[Span]] = {}
    for step in steps:
        if step.power_kw <= 0:
            continue
        level = min(LEVELS, max(1, math.ceil(LEVELS * step.power_kw / full_kw - 1e-9)))
        of_level = spans.setdefault(level, [])
        if of_level and of_level[-1].end_at == step.start_at:
            of_level[-1] = Span(of_level[-1].start_at, step.end_at)
        else:
            of_level.append(Span(step.start_at, step.end_at))
    return [(level, block_path(spans[level], within, y=y, height=height)) for level in sorted(spans)]
