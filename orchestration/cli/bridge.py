"""``depotwise bridge …``: the OCPP bridge as a service, and its tools."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from orchestration.cli.output import console, friendly, say_json

app = typer.Typer(help="The OCPP bridge: publications in, charging profiles out.", invoke_without_command=True)
CONFIG = typer.Option("--config", exists=True, dir_okay=False, help="bridge.yaml of the site.")


@app.callback()
def serve(
    context: typer.Context,
    config: Annotated[Path | None, CONFIG] = None,
) -> None:
    """Run the bridge until it is stopped. It prints `bridge ready` when chargers can connect."""
    if context.invoked_subcommand is not None:
        return
    if config is None:
        raise typer.BadParameter("name the site's configuration: depotwise bridge --config bridge.yaml")
    from ocpp_bridge.command import run

    raise typer.Exit(run(config))


@app.command()
def status(
    config: Annotated[Path, CONFIG],
    json: Annotated[bool, typer.Option("--json", help="One JSON object as the last line.")] = False,
) -> None:
    """Show stations, versions, limits against power, and how the bridge is."""
    from ocpp_bridge.command import BridgeUnreachableError
    from ocpp_bridge.command import status as ask

    with friendly(BridgeUnreachableError):
        found = ask(*_address(config))
    if json:
        say_json({"schema": "depotwise.bridge_status/1", **found})
        return
    health = found["health"]
    console.print(f"{health['status']}{': ' + '; '.join(health['reasons']) if health['reasons'] else ''}", markup=False)
    table = Table(
        "station", "connected", "version", "connector", "status", "limit kW", "power kW", "may hold kW", box=None
    )
    for station in found["stations"]:
        for connector in station["connectors"]:
            row = (
                station["station_id"],
                "yes" if station["connected"] else "no",
                station["version"],
                *(connector[key] for key in ("connector_id", "status", "limit_kw", "power_kw", "may_hold_kw")),
            )
            table.add_row(*("" if value is None else str(value) for value in row))
    console.print(table)


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
