"""The simulator's command line: prepare a scenario, serve its live night, measure its difficulty."""

import asyncio
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from core.settings import MissingSecretError
from simulator.difficulty import measure, table
from simulator.output.config_folder import write_config
from simulator.output.frames import write_frames
from simulator.output.signals import write_signals
from simulator.output.truth import write_truth
from simulator.scenario import Ports, Scenario, read_scenario
from simulator.world.history import build_world

CLOCK_FILE = "clock.json"

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    help="A depot that speaks the real protocols over real sockets.",
)


@contextmanager
def _explained() -> Iterator[None]:
    """End with one line instead of a traceback where a person can put it right."""
    try:
        yield
    except (MissingSecretError, OSError, ValueError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from error


@app.command()
def prepare(
    out: Annotated[Path, typer.Option(help="Folder to write config/, history/ and signals/ into.")],
    vehicles: Annotated[int, typer.Option(min=2, help="Size of the fleet.")] = 40,
    days: Annotated[int, typer.Option(min=1, help="Days of history before the live night.")] = 28,
    seed: Annotated[int, typer.Option(help="Everything that happens follows from it.")] = 1,
    port_base: Annotated[int, typer.Option(help="First of the TCP ports on loopback.")] = 9400,
) -> None:
    """Write a scenario: configuration, history, signals, and what ``serve`` needs."""
    begin_s = time.monotonic()
    out = out.resolve()
    scenario = Scenario(seed=seed, vehicles=vehicles, days=days, ports=Ports(port_base))
    with _explained():
        world = build_world(scenario)
        write_config(world, out / "config", clock_file=out / CLOCK_FILE)
        frames = write_frames(world, out / "history" / "frames")
        write_signals(world, out / "signals")
        write_truth(world, out / "truth.json")
        scenario.write(out)
    typer.echo(
        f"prepared {out}: {vehicles} vehicles, {days} days, {len(world.sessions)} sessions, {frames} frames "
        f"in {time.monotonic() - begin_s:.1f} s"
    )


@app.command()
def difficulty(
    vehicles: Annotated[int, typer.Option(min=2)] = 40,
    days: Annotated[int, typer.Option(min=1)] = 28,
    seed: Annotated[int, typer.Option()] = 1,
) -> None:
    """Measure how hard a scenario is and print a table."""
    for line in table(measure(build_world(Scenario(seed=seed, vehicles=vehicles, days=days)))):
        typer.echo(line)


@app.command()
def serve(
    directory: Annotated[Path, typer.Option("--dir", help="Folder that ``prepare`` wrote.")],
    clock: Annotated[
        Path | None, typer.Option(help="Clock file that a driver writes (core.clock.drive_clock).")
    ] = None,
) -> None:
    """Serve the provider APIs and run the charge points on the simulated clock, until stopped."""
    from simulator.live.serving import run  # noqa: PLC0415 - the other commands need no sockets

    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    directory = directory.resolve()
    with _explained():
        scenario = read_scenario(directory)
        asyncio.run(run(build_world(scenario), directory, clock_file=clock or directory / CLOCK_FILE))
