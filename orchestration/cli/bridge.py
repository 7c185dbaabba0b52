"""``depotwise bridge …``: the OCPP bridge as a service, and its tools."""

import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.table import Table

from orchestration.cli.output import console, friendly, say_json

app = typer.Typer(help="The OCPP bridge: publications in, charging profiles out.", invoke_without_command=True)
LogFormat = Literal["text", "json"]
STATUS_COLUMNS = (
    "station",
    "connected",
    "last seen",
    "version",
    "back end",
    "connector",
    "status",
    "transaction",
    "plan",
    "evidence",
    "limit kW",
    "power kW",
    "may hold kW",
)
CONFIG = typer.Option("--config", exists=True, dir_okay=False, help="bridge.yaml of the site.")


@app.callback()
def serve(
    context: typer.Context,
    config: Annotated[Path | None, CONFIG] = None,
    log_level: Annotated[str, typer.Option(help="DEBUG, INFO, WARNING or ERROR.")] = "INFO",
    log_format: Annotated[LogFormat, typer.Option(help="Lines for people, or one JSON object a line.")] = "text",
) -> None:
    """Run the bridge until it is stopped. It prints `bridge ready` when chargers can connect."""
    if context.invoked_subcommand is not None:
        return
    if config is None:
        raise typer.BadParameter("name the site's configuration: depotwise bridge --config bridge.yaml")
    from ocpp_bridge.command import run
    from ocpp_bridge.logs import set_up

    with friendly(ValueError):
        set_up(log_level.upper(), log_format)
    raise typer.Exit(run(config))


@app.command()
def status(
    config: Annotated[Path, CONFIG],
    json: Annotated[bool, typer.Option("--json", help="One JSON object as the last line.")] = False,
) -> None:
    """Show the plan, power against limits, stations with versions and evidence, and what is wrong."""
    from ocpp_bridge.command import BridgeUnreachableError
    from ocpp_bridge.command import status as ask

    with friendly(BridgeUnreachableError):
        found = ask(*_address(config))
    if json:
        say_json({"schema": "depotwise.bridge_status/1", **found})
        return
    health, site = found["health"], found["site"]
    console.print(f"{health['status']}{': ' + '; '.join(health['reasons']) if health['reasons'] else ''}", markup=False)
    console.print(_site_line(site), markup=False)
    table = Table(*STATUS_COLUMNS, box=None)
    for station in found["stations"]:
        for connector in station["connectors"]:
            style = "red" if connector["above_limit"] else None
            table.add_row(*_status_row(station, connector, site["at"]), style=style)
    console.print(table)


def _site_line(site: dict[str, Any]) -> str:
    plan = "no plan in force"
    if site["plan_id"] is not None:
        plan = f"plan {site['plan_id']} of {site['as_of']} until {site['valid_until']}"
    power = "unknown" if site["power_kw"] is None else f"{site['power_kw']:g} kW"
    line = f"{site['site_id']}: {plan}; power {power}, may draw {site['may_hold_kw']:g} of {site['limit_kw']:g} kW"
    override = site["override"]
    if override is not None:
        line += f"; limited to {override['ev_limit_kw']:g} kW until {override['valid_until']} ({override['reason']})"
    return line


def _status_row(station: dict[str, Any], connector: dict[str, Any], at: str) -> list[str]:
    upstream = station["upstream"]
    back_end = station["publisher"]
    if upstream is not None:
        back_end = "proxy" if upstream["connected"] else f"proxy, away ({upstream['waiting']} wait)"
    cells = (
        station["station_id"],
        "yes" if station["connected"] else "no",
        _age(station["last_seen_at"], at),
        station["version"],
        back_end,
        *(connector[name] for name in ("connector_id", "status", "transaction_id", "plan_state", "evidence")),
        *(connector[name] for name in ("limit_kw", "power_kw", "may_hold_kw")),
    )
    return ["" if cell is None else str(cell) for cell in cells]


def _age(instant: str | None, at: str) -> str | None:
    if instant is None:
        return None
    from core.time_grid import parse_instant

    return f"{max(0, round((parse_instant(at) - parse_instant(instant)).total_seconds()))} s ago"


@app.command()
def revoke(
    config: Annotated[Path, CONFIG],
    station: Annotated[str | None, typer.Option(help="One station; without it, all of the site.")] = None,
) -> None:
    """Clear every charging profile that the bridge set, before it leaves a site."""
    from ocpp_bridge.command import BridgeUnreachableError
    from ocpp_bridge.command import revoke as clear

    with friendly(BridgeUnreachableError):
        found = clear(*_address(config), station)
    console.print(f"cleared: {', '.join(found['cleared']) or 'none'}", markup=False)
    if found["pending"]:
        console.print(f"pending until they connect: {', '.join(found['pending'])}", markup=False)


@app.command()
def commission(
    station: Annotated[str, typer.Argument(help="The station's id, as in bridge.yaml.")],
    config: Annotated[Path, CONFIG],
    connector: Annotated[int, typer.Option(min=1, help="Its connector (EVSE on OCPP 2.x).")] = 1,
    protocol: Annotated[Path | None, typer.Option(dir_okay=False, help="Where the protocol goes.")] = None,
    cut_s: Annotated[float, typer.Option("--cut-s", min=1, help="How long the link is cut, in seconds.")] = 180.0,
) -> None:
    """Walk through a station's commissioning: capabilities, limits, a pause, phases, minimum, the fallback offline.

    A vehicle that wants to charge is needed, and about ten minutes. The protocol is a JSON file.
    """
    import json

    from ocpp_bridge.command import BridgeUnreachableError
    from ocpp_bridge.command import commission as walk
    from ocpp_bridge.commission import CommissioningError, Patience

    with friendly(BridgeUnreachableError, CommissioningError):
        found = walk(*_address(config), station, connector, say=typer.echo, patience=Patience(cut_s=cut_s))
    file = protocol or Path(f"commissioning-{station}-{connector}.json")
    file.write_text(json.dumps(found, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    console.print(f"{'passed' if found['passed'] else 'FAILED'}; the protocol is {file}", markup=False)
    raise typer.Exit(0 if found["passed"] else 1)


@app.command("hash-password")
def hash_password() -> None:
    """Read a station's password from stdin and print the hash that goes into bridge.yaml."""
    from ocpp_bridge.command import hash_password as make_hash

    with friendly(ValueError):
        typer.echo(make_hash(sys.stdin.readline()))


def _address(config: Path) -> tuple[str, str]:
    """Return the URL and the token of the bridge that a configuration describes."""
    from core.settings import MissingSecretError, secret
    from ocpp_bridge.config import ConfigError, load_config

    with friendly(ConfigError, MissingSecretError):
        http = load_config(config).http
        return f"http://{http.host}:{http.port}", secret(http.token_env)
