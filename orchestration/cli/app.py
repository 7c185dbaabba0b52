"""The root of the command line: which commands there are, and the options they share."""

import logging
import os
from pathlib import Path
from typing import Annotated

import typer

from orchestration.cli import audit, bridge, configuration, data, forecasts, jobs, overrides, plans, replays, sizing

HELP = """Depotwise: charging that follows real operations.

Vehicle telematics and charger logs in, charge-by-departure plans out. Start with [bold]depotwise demo[/], then
[bold]depotwise init my-depot[/]. Everything generated lies below --home (DEPOTWISE_HOME, default data/home).
"""

app = typer.Typer(help=HELP, no_args_is_help=True, rich_markup_mode="rich", pretty_exceptions_show_locals=False)
jobs.register(app)
configuration.register(app)
data.register(app)
plans.register(app)
overrides.register(app)
replays.register(app)
sizing.register(app)
app.add_typer(forecasts.app, name="forecast")
app.add_typer(bridge.app, name="bridge")
app.add_typer(audit.app, name="audit")


@app.callback()
def options(
    home: Annotated[
        Path | None, typer.Option(envvar="DEPOTWISE_HOME", help="Folder of everything generated.", show_default=False)
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say what happens underneath.")] = False,
) -> None:
    """Set what every command shares."""
    if home is not None:
        os.environ["DEPOTWISE_HOME"] = str(home)
    level = logging.INFO if verbose else logging.WARNING
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    if not verbose:  # a request that is asked again is no news; one that failed for good is in the source's report
        logging.getLogger("ingestion.http").setLevel(logging.ERROR)
    # httpx logs whole URLs and ocpp whole frames at INFO: both may carry what no log should hold.
    for chatty in ("httpx", "httpcore", "ocpp", "great_expectations"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def main() -> None:
    """Run the command line."""
    app()
