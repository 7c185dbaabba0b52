"""Model cards for people: what was decided for each target, on which numbers."""

from collections.abc import Iterable, Mapping
from typing import Any


def model_cards(cards: Iterable[Mapping[str, Any]]) -> str:
    """Return cards as Markdown: the decision, every forecaster's figures, and the error by the hours left."""
    return "\n\n".join(_card(card) for card in cards)


def _card(card: Mapping[str, Any]) -> str:
    promotion, unit = card["promotion"], card["unit"]
    lines = [
        f"### `{card['target']}` is forecast by **{promotion['promoted']}**",
        "",
        f"{promotion['reason']}. Judged on {card['judged_rows']} questions since {card['judged_from']}.",
        "",
        f"| forecaster | MAE {unit} | P90 | pinball | 80 % covers | 90 % covers | width 90 % |",
        "|---|---|---|---|---|---|---|",
    ]
    known = {name: figures for name, figures in card["forecasts"].items() if figures["mae"] is not None}
    lines += [_line(name, figures) for name, figures in sorted(known.items(), key=lambda item: item[1]["mae"])]
    lines += ["", f"| hours left | MAE {unit} | width 90 % | 90 % covers | questions |", "|---|---|---|---|---|"]
    lines += [_lead(hours, figures) for hours, figures in card.get("by_hours_left", {}).items() if figures["rows"]]
    return "\n".join(lines)


def _line(name: str, figures: Mapping[str, Any]) -> str:
    covers = figures["coverage"]
    return (
        f"| {name} | {figures['mae']:.2f} | {figures['p90_ae']:.2f} | {figures['pinball']:.3f} "
        f"| {covers['80']:.1f} | {covers['90']:.1f} | {figures['width_90']:.1f} |"
    )


def _lead(hours: str, figures: Mapping[str, Any]) -> str:
    return (
        f"| {hours} | {figures['mae']:.2f} | {figures['width_90']:.1f} | {figures['coverage_90']:.1f} "
        f"| {figures['rows']} |"
    )
