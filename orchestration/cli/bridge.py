"""``depotwise bridge …``: the OCPP bridge as a service, and its tools."""

from pathlib import Path
from typing import Annotated

import typer

from orchestration.cli.output import friendly

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
    from ocpp_bridge.config import BridgeConfigError

    with friendly(BridgeConfigError):
        raise typer.Exit(run(config))


@app.command()
def status(
    config: Annotated[Path, CONFIG],
    json: Annotated[bool, typer.Option("--json", help="One JSON object as the last line.")] = False,
) -> None:
    """Show stations, versions, limits against power, and what became of the plan."""
    from ocpp_bridge.command import status as show

    raise typer.Exit(show(config, as_json=json))


@app.command()
def revoke(
    config: Annotated[Path, CONFIG],
    station: Annotated[str | None, typer.Option(help="One station; without it, all of the site.")] = None,
) -> None:
    """Clear every charging profile that the bridge set, before it leaves a site."""
    from ocpp_bridge.command import revoke as clear

    raise typer.Exit(clear(config, station_id=station))


@app.command("hash-password")
def hash_password() -> None:
    """Read a station's password from stdin and print the hash that goes into bridge.yaml."""
    from ocpp_bridge.command import hash_password as make_hash

    raise typer.Exit(make_hash())
