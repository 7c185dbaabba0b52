"""The last screen of a run: what the night came to, and where to look next, from a ``depotwise.run/1`` document."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from reporting.summary import comparison_of
from reporting.view import Policy
from reporting.wording import NOT_KNOWN


def print_run(run: Mapping[str, Any], *, console: Console | None = None) -> None:
    """Print the last screen of a run."""
    (console or Console()).print(render_run(run))


def render_run(run: Mapping[str, Any]) -> RenderableType:
    """Return the last screen of a run.

    Args:
        run: A ``depotwise.run/1`` document; None where a figure is not known.
    """
    return Group(_readiness(run["readiness"]), _policies(run), _facts(run), Text(), _next_steps(run))


def _readiness(readiness: Mapping[str, Any]) -> Panel:
    departures, ready = readiness["departures"], readiness["ready"]
    lost = {
        "not ready": readiness["not_ready"],
        "never plugged in": readiness["not_plugged"],
        "of unknown SoC": readiness["unknown"],
    }
    text = Text(f"{ready} of {departures} departures ready at pull-out", style="bold")
    if readiness["ready_pct"] is not None:
        text.append(f" ({readiness['ready_pct']:.1f} %)", style="not bold")
    told = [f"{number} {what}" for what, number in lost.items() if number]
    if readiness["infeasible"]:
        told.append(f"{readiness['infeasible']} could not have been made ready by anybody")
    if told:
        text.append("\n" + ", ".join(told), style="not bold")
    return Panel(text, border_style="green" if ready + readiness["infeasible"] >= departures else "yellow")


def _policies(run: Mapping[str, Any]) -> Table:
    comparison = comparison_of(run)
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
    table.add_column("")
    for name in ("Ready", f"Cost {comparison.currency}", "Peak kW"):
        table.add_column(name, justify="right")
    for number, policy in enumerate(comparison.policies):
        table.add_row(Text(policy.name), *_figures(policy), style="bold" if number == 0 else "")
    if run.get("limit_kw") is not None:
        table.add_row(Text("Limit of the site"), "", "", f"{run['limit_kw']:.0f}", style="dim")
    return table


def _figures(policy: Policy) -> tuple[str, str, str]:
    return (
        NOT_KNOWN if policy.ready_pct is None else f"{policy.ready_pct:.1f} %",
        NOT_KNOWN if policy.cost_total is None else f"{policy.cost_total:,.2f}",
        NOT_KNOWN if policy.peak_kw is None else f"{policy.peak_kw:.0f}",
    )


def _facts(run: Mapping[str, Any]) -> Table:
    rows, profiles = run["rows"], run["profiles"]
    table = Table.grid(padding=(0, 3, 0, 0))
    table.add_row()
    table.add_row("Charging profiles", ", ".join(f"{number:,} {state}" for state, number in profiles.items()))
    table.add_row(
        "Rows",
        f"{rows['read']:,} read = {rows['landed']:,} landed + {rows['duplicates']:,} duplicates "
        f"+ {rows['quarantined']:,} quarantined",
    )
    if run.get("emissions_kgco2e") is not None:
        table.add_row("Emissions", f"{run['emissions_kgco2e']:,.0f} kgCO2e")
    table.add_row("Took", f"{run['seconds']:.0f} s, as of {run['as_of']}, run {run['run_id']}")
    return table


def _next_steps(run: Mapping[str, Any]) -> Table:
    table = Table.grid(padding=(0, 3, 0, 0))
    table.add_row(Text("Where to look next", style="bold"))
    steps = (
        ("The night, for people", run["page"]),
        ("Runs, assets, checks", "make ui"),
        ("Tables, for analysts", run["published"]),
        ("Tables, everything", run["warehouse"]),
    )
    for what, where in steps:
        if where:
            table.add_row(what, Text(str(where), style="cyan", no_wrap=True, overflow="fold"))
    return table
