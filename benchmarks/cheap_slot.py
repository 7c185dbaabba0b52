"""One cheap slot, one limit, drawn: ``python -m benchmarks.cheap_slot > docs/cheap_slot.svg``.

Six vans, a price that is low for one quarter-hour, and a limit with room for two of them: each planned alone, and all
planned together. The same case is a test (evcc PR #31902).
"""

import sys
from typing import Any

from benchmarks.sample_problem import problem_record, vehicle_record
from planning.baselines import baseline
from planning.documents import problem_from_record
from planning.model import FloatArray, Plan, Problem
from planning.solve import solve

VANS = 6
SLOTS = 12
CHEAP_SLOT = 5
ROOM_KW = 22.0
COLOURS = ("#1b6ca8", "#e08e2b", "#3a9d5d", "#b0413e", "#7a5ba6", "#6b7280")
SLOT_PX, KW_PX, LEFT_PX, PANEL_PX = 40, 4, 150, 130
TEXT = 'font-family="sans-serif" font-size="12" fill="#222"'


def cheap_slot_record() -> dict[str, Any]:
    """Return the case as ``planning_problem/1``."""
    van = {"departure_slot": SLOTS, "required_soc_pct": 53.0}
    return problem_record(
        [vehicle_record(f"van-{row + 1}", **van) for row in range(VANS)],
        slots=SLOTS,
        site_id="one-cheap-slot",
        grid_limit_kw=[10.0 + ROOM_KW] * SLOTS,
        price_per_kwh=[0.05 if slot == CHEAP_SLOT else 0.40 for slot in range(SLOTS)],
        demand_charges=[],
    )


def panel(title: str, plan: Plan, top_px: int) -> list[str]:
    """Return the elements of one plan: what each van takes, stacked slot by slot, under the limit."""
    ground = top_px + PANEL_PX
    ready = f"{int(plan.is_ready.sum())} of {VANS} ready"
    parts = [
        f'<text x="8" y="{ground - 60}" {TEXT} font-weight="bold">{title}</text>',
        f'<text x="8" y="{ground - 42}" {TEXT}>{ready}</text>',
        *bars(plan.power_kw, ground),
    ]
    limit = ground - ROOM_KW * KW_PX
    right = LEFT_PX + SLOTS * SLOT_PX
    line = '<line x1="{}" y1="{}" x2="{}" y2="{}" stroke="{}" stroke-width="1.5"{}/>'
    parts.append(line.format(LEFT_PX, limit, right, limit, "#b0413e", ' stroke-dasharray="6 3"'))
    parts.append(line.format(LEFT_PX, ground, right, ground, "#222", ""))
    return [*parts, f'<text x="{right + 6}" y="{limit + 4}" {TEXT}>limit</text>']


def bars(power_kw: FloatArray, ground: int) -> list[str]:
    """Return a rectangle per van and slot."""
    parts = []
    for slot in range(SLOTS):
        foot = float(ground)
        for row in range(VANS):
            height = float(power_kw[row, slot]) * KW_PX
            if height < 0.5:
                continue
            foot -= height
            place = f'x="{LEFT_PX + slot * SLOT_PX + 3}" y="{foot:.1f}" width="{SLOT_PX - 6}" height="{height:.1f}"'
            parts.append(f'<rect {place} fill="{COLOURS[row]}"/>')
    return parts


def picture(problem: Problem) -> str:
    """Return the SVG of both plans."""
    width, height = LEFT_PX + SLOTS * SLOT_PX + 50, 2 * PANEL_PX + 70
    cheap = LEFT_PX + CHEAP_SLOT * SLOT_PX
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">',
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
        f'<rect x="{cheap}" y="22" width="{SLOT_PX}" height="{height - 40}" fill="#e8f4ea"/>',
        f'<text x="{cheap - 22}" y="16" {TEXT}>cheap quarter-hour</text>',
        *panel("each planned alone", baseline(problem, "cheapest_slot"), 20),
        *panel("planned together", solve(problem), 20 + PANEL_PX + 20),
        f'<text x="{LEFT_PX}" y="{height - 6}" {TEXT}>quarter-hours; each colour is a van, heights are kW</text>',
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


if __name__ == "__main__":
    sys.stdout.write(picture(problem_from_record(cheap_slot_record())))
