"""``depotwise run``, ``depotwise demo`` and ``depotwise ui``: what the schedules run, here and now."""

import os
import sys
import time
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from orchestration.cli.keys import ensure_hash_key
from orchestration.cli.output import console, friendly, say_json


class Job(StrEnum):
    """Jobs that can be run by hand."""

    NIGHTLY = "nightly"
    INTRADAY = "intraday"
    TRAIN = "train"
    REPORT = "report"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(run)
    app.command()(demo)
    app.command()(ui)


def run(
    job: Annotated[Job, typer.Argument(help="nightly: data, plans, marts. intraday: data, plans. train. report.")],
    as_of: Annotated[str | None, typer.Option(help="Instant with zone; only what was known then is used.")] = None,
    site: Annotated[list[str] | None, typer.Option(help="Only these sites (repeat the option).")] = None,
    config: Annotated[Path | None, typer.Option(envvar="DEPOTWISE_CONFIG", help="Configuration folder.")] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object as the last line.")] = False,
) -> None:
    """Run what the schedules run, in process, recorded in the same Dagster instance.

    The same --as-of again changes nothing; a run that was killed is simply started again.
    """
    from core.settings import Settings
    from core.time_grid import parse_instant
    from ingestion.registry import ConfigurationError
    from orchestration.jobs import JobFailedError, run_job
    from orchestration.steps.forecast import drifted_sites, needs_training
    from orchestration.steps.night import expected_result
    from orchestration.steps.run_document import RunFacts, rows_of, run_document
    from orchestration.steps.workplace import Workplace

    begin = time.monotonic()
    if config is not None:
        os.environ["DEPOTWISE_CONFIG"] = str(config)  # assets open the workplace of the environment
    settings = Settings()
    ensure_hash_key(settings)
    with friendly(ConfigurationError, JobFailedError, ValueError):
        instant = datetime.now(UTC) if as_of is None else parse_instant(as_of)
        workplace = Workplace(settings)
        sites = site or [entry.site_id for entry in workplace.registry.sites]
        train = job is Job.NIGHTLY and (
            needs_training(workplace, sites=sites, as_of=instant)
            or bool(drifted_sites(workplace, sites=sites, as_of=instant))
        )
        with console.status(f"{job} as of {instant.isoformat(timespec='minutes')}"):
            records = run_job(job.value, settings=settings, as_of=instant, sites=sites, needs_training=train)
        results = [expected_result(workplace, site_id=site_id, as_of=instant) for site_id in sites]
        facts = RunFacts(job.value, instant, records[-1].run_id, time.monotonic() - begin, rows_of(records))
        document = run_document(workplace, facts, [result for result in results if result is not None])
    if json:
        say_json(document)
    else:
        _show(document)


def demo(
    vehicles: Annotated[int, typer.Option(min=2, help="Vehicles of the two depots together.")] = 40,
    days: Annotated[int, typer.Option(min=3, help="Days of history before the night.")] = 28,
    seed: Annotated[int, typer.Option(help="Another seed is another fleet and another night.")] = 1,
    rate: Annotated[float, typer.Option(min=60, help="Simulated seconds per second while time runs.")] = 1800,
    json: Annotated[bool, typer.Option("--json", help="One JSON object as the last line.")] = False,
) -> None:
    """Run the main job end to end on a simulated depot, over real sockets: data, marts, forecasts, plans, chargers.

    Everything lands below HOME (default data/home), which must be empty or hold an earlier demo, and stays there for
    `depotwise ui`, `depotwise sql` and the operations page.
    """
    from core.settings import Settings
    from orchestration.demo.drive import DemoHomeError, DemoOptions, run_demo
    from orchestration.demo.services import ServiceError

    with friendly(DemoHomeError, ServiceError):
        document = run_demo(Settings(), DemoOptions(vehicles, days, seed, rate), console=None if json else console)
    if json:
        say_json(document)
    else:
        _show(document)


def ui(port: Annotated[int, typer.Option(help="Port on 127.0.0.1.")] = 3000) -> None:
    """Serve Dagster's user interface on loopback, on the instance that `depotwise run` and `demo` record in.

    It has no login: put an authenticating proxy before it if others are to see it.
    """
    from dagster import DagsterInstance

    from core.locks import LockTimeoutError
    from core.settings import Settings
    from orchestration.dead_runs import alone, end_dead_runs
    from orchestration.instance import prepare_instance

    settings = Settings()
    prepare_instance(settings)
    dagster = Path(sys.executable).with_name("dagster")
    arguments = ["dev", "-m", "orchestration.definitions", "-h", "127.0.0.1", "-p", str(port)]
    with friendly(LockTimeoutError), alone(settings):
        with DagsterInstance.get() as instance:
            end_dead_runs(instance, settings, is_alone=True)
        os.execv(str(dagster), [str(dagster), *arguments])  # noqa: S606 (our own tool, no shell)


def _show(document: dict[str, object]) -> None:
    from reporting.console import render_run

    console.print(render_run(document))
