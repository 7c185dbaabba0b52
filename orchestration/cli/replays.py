"""``depotwise replay``: what a policy would have made of past nights, knowing what was known then."""

import json as json_text
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import typer

from orchestration.cli.output import console, friendly, say_json

SIMULATED_TRUTH = Path("depot") / "truth.json"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(replay)


def replay(
    begin: Annotated[str, typer.Option("--from", help="Local date of the first night's noon, e.g. 2026-02-02.")],
    end: Annotated[str | None, typer.Option("--to", help="Local date of the last (default: the first).")] = None,
    policy: Annotated[list[str] | None, typer.Option(help="Only these (repeat the option); default: all.")] = None,
    fault: Annotated[list[str] | None, typer.Option(help="Also under these faults (repeat); `all` for all.")] = None,
    site: Annotated[list[str] | None, typer.Option(help="Only these sites (repeat the option).")] = None,
    peak_so_far: Annotated[
        str, typer.Option(help="recorded; none: the demand charge begins anew; paid: the peak is at the limit already.")
    ] = "recorded",
    limit_factor: Annotated[float, typer.Option(min=0.1, help="As if the limits were so many times as large.")] = 1.0,
    truth: Annotated[
        Path | None, typer.Option(help="truth.json of a simulated depot (default: the demo's, where there is one).")
    ] = None,
    config: Annotated[Path | None, typer.Option(envvar="DEPOTWISE_CONFIG", help="Configuration folder.")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Also write depotwise.replay/1 here.")] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object as the last line.")] = False,
) -> None:
    """Replay nights in a closed loop: plan with what was known, reveal the truth, plan again every quarter of an hour.

    Every night lasts from noon to noon and begins with the SoC that vehicles really came with. Readiness counts the
    departures that perfect foresight makes ready too. Cost is what charging adds to the site's. Policies: platform,
    class_medians, know_nothing, uncontrolled, fcfs, edf, llf, cheapest_slot, llf_min_peak, perfect_foresight. Faults:
    stale_soc, frozen_soc, lost_ids, telematics_outage, dead_charger (without power), faulty_charger (takes a plug,
    gives nothing), late_return.
    """
    from core.settings import Settings
    from ingestion.registry import ConfigurationError
    from orchestration.replay.command import POLICIES, ReplayOptions, run_replay
    from planning.replay.faults import FAULTS

    settings = Settings() if config is None else Settings(config=config)
    faults = tuple(FAULTS) if fault and "all" in fault else ("none", *(fault or ()))
    with friendly(ConfigurationError, ValueError):
        options = ReplayOptions(
            from_date=date.fromisoformat(begin),
            to_date=date.fromisoformat(end or begin),
            sites=tuple(site or ()),
            policies=tuple(policy or POLICIES),
            faults=tuple(dict.fromkeys(faults)),
            peak_so_far=peak_so_far,
            limit_factor=limit_factor,
        )
        with console.status("Replay") as status:
            document = run_replay(
                settings, options, truth=truth or simulated_truth(settings.home), progress=status.update
            )
    if output is not None:
        output.write_text(json_text.dumps(document, indent=1) + "\n", encoding="utf-8")
    if json:
        say_json(document)
    else:
        _show(document)


def simulated_truth(home: Path) -> Path | None:
    """Return the truth that a demo's simulated depot left in a home; None where there is none."""
    path = home / SIMULATED_TRUTH
    return path if path.exists() else None


def _show(document: dict[str, Any]) -> None:
    from rich.table import Table

    currency = document["currency"] or ""
    console.print(
        f"{document['nights']} nights, {document['from']} to {document['to']}; "
        f"{document['not_plugged']} departures without a plug-in are not counted",
        markup=False,
    )
    columns = ("Ready %", "kWh short", "Peak kW", f"Energy {currency}", f"Demand {currency}", "Above foresight %")
    for fault, rows in document["faults"].items():
        table = Table("Policy", *columns, title=None if fault == "none" else fault)
        for name, row in rows.items():
            keys = ("ready_pct", "short_kwh", "peak_kw", "energy_cost", "demand_cost", "above_foresight_pct")
            table.add_row(name, *("" if row[key] is None else f"{row[key]:,.1f}" for key in keys))
        console.print(table)
