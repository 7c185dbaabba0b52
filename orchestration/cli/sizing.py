"""``depotwise size``: what a depot needs for its fleet, now and by year, and what that costs."""

from datetime import UTC, datetime, time
from pathlib import Path
from typing import Annotated, Any

import typer

from orchestration.cli.output import console, friendly, say_json


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(size)


def size(
    site: Annotated[str | None, typer.Option(help="Site (default: the only one).")] = None,
    target: Annotated[float, typer.Option(min=1, max=100, help="Departures that are to be ready, percent.")] = 99.0,
    year: Annotated[list[str] | None, typer.Option(help="A fleet to come, YEAR=VEHICLES (repeat the option).")] = None,
    attended: Annotated[str, typer.Option(help="When somebody is there to re-plug, local, FROM-TO.")] = "05:00-22:00",
    ac_charger: Annotated[float, typer.Option(help="Cost of an AC charger.")] = 2500.0,
    dc_charger: Annotated[float, typer.Option(help="Cost of a DC charger.")] = 35000.0,
    grid_per_kw: Annotated[float, typer.Option(help="Cost of a kW of grid connection.")] = 250.0,
    battery_per_kwh: Annotated[float, typer.Option(help="Cost of a kWh of stationary battery.")] = 400.0,
    pv_per_kwp: Annotated[float, typer.Option(help="Cost of a kWp of PV.")] = 900.0,
    ac_kw: Annotated[float, typer.Option(help="Power of an AC charger.")] = 11.0,
    dc_kw: Annotated[float, typer.Option(help="Power of a DC charger.")] = 100.0,
    as_of: Annotated[str | None, typer.Option(help="Instant with zone; only what was known then is used.")] = None,
    config: Annotated[Path | None, typer.Option(envvar="DEPOTWISE_CONFIG", help="Configuration folder.")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Also write a page (HTML) here.")] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object as the last line.")] = False,
) -> None:
    """Find the least chargers, grid, battery and PV that make a fleet ready as often as asked, from recorded nights.

    Nights are charged again by a rule that people can follow; weeks are resampled to say how sure the answer is. The
    prices are only examples: give your own.
    """
    from core.settings import Settings
    from core.time_grid import parse_instant
    from ingestion.registry import ConfigurationError
    from ml.fleet import UnknownSiteError
    from orchestration.steps.sizing import SizeOptions, size_site
    from orchestration.steps.workplace import Workplace
    from planning.sizing import Prices
    from reporting.sizing_page import build_sizing_page

    settings = Settings() if config is None else Settings(config=config)
    workplace = Workplace(settings)
    with friendly(ConfigurationError, UnknownSiteError, ValueError):
        options = SizeOptions(
            target_pct=target,
            fleets=_fleets(year or []),
            prices=Prices(ac_charger, dc_charger, grid_per_kw, battery_per_kwh, pv_per_kwp, ac_kw=ac_kw, dc_kw=dc_kw),
            attended=_hours(attended),
        )
        known = [entry.site_id for entry in workplace.registry.sites]
        if site is None and len(known) > 1:
            raise ValueError(f"say which site: --site {' or '.join(known)}")
        instant = datetime.now(UTC) if as_of is None else parse_instant(as_of)
        with console.status("Charging recorded nights in depots of other sizes"):
            document = size_site(workplace, site_id=site or known[0], as_of=instant, options=options)
    if output is not None:
        output.write_text(build_sizing_page(document), encoding="utf-8")
    if json:
        say_json(document)
    else:
        _show(document)


def _fleets(years: list[str]) -> dict[str, int]:
    fleets = {}
    for one in years:
        name, _, vehicles = one.partition("=")
        if not name or not vehicles.isdigit() or int(vehicles) < 1:
            raise ValueError(f"--year {one}: write YEAR=VEHICLES, e.g. 2028=60")
        fleets[name] = int(vehicles)
    return fleets


def _hours(text: str) -> tuple[time, time]:
    begin, _, end = text.partition("-")
    try:
        return time.fromisoformat(begin), time.fromisoformat(end)
    except ValueError as error:
        raise ValueError(f"--attended {text}: write FROM-TO, e.g. 05:00-22:00") from error


def _show(document: dict[str, Any]) -> None:
    from rich.table import Table

    now = document["now"]
    console.print(
        f"{document['site_id']}: {now['ready_pct']:.1f} % of departures ready, target {document['target_pct']:g} %, "
        f"met in {now['confidence_pct']:.0f} % of resampled weeks ({document['nights']} nights, "
        f"{document['weeks']} weeks)",
        markup=False,
    )
    heads = ("AC", "DC", "Grid kW", "Battery kWh", "PV kWp", f"Cost {document['currency'] or ''}")
    table = Table("Step", *heads)
    there = {"year": "there already", "depot": document["installed"], "cost": 0.0}
    for step in (there, *document["steps"]):
        table.add_row(step["year"], *(f"{value:,.0f}" for value in step["depot"].values()), f"{step['cost']:,.0f}")
    console.print(table)
