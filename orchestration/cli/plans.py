"""``depotwise plan``: the planner alone, without Dagster, dbt or a configuration."""

from pathlib import Path
from typing import Annotated

import typer

from orchestration.cli.output import console, errors, friendly, say_json


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(plan)


def plan(
    problem: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="A planning_problem/1 document.")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Where plan/1 goes (default: stdout).")] = None,
    json: Annotated[bool, typer.Option("--json", help="A summary as one JSON object as the last line.")] = False,
) -> None:
    """Plan charging by departure for one site: always a plan, with a reason for every shortfall."""
    from planning.command import run
    from planning.findings import ProblemError

    with friendly(ProblemError):
        document = run(problem, output)
    for warning in document["warnings"]:
        errors.print(f"warning: {warning}", markup=False, soft_wrap=True)
    if output is None:
        say_json(document)
        return
    short = [vehicle for vehicle in document["vehicles"] if vehicle["shortfall_kwh"] > 0.05]
    if json:
        keys = ("site_id", "problem_sha256", "cost", "peak_kw", "solver")
        say_json({"plan": str(output), **{key: document[key] for key in keys}, "short_vehicles": len(short)})
        return
    cost = document["cost"]
    console.print(
        f"{len(document['vehicles']) - len(short)} of {len(document['vehicles'])} vehicles reach their target; "
        f"cost {cost['total']:.2f}, peak {document['peak_kw']:.1f} kW; plan in {output}",
        markup=False,
    )
    for vehicle in short:
        console.print(f"  {vehicle['vehicle_id']}: {vehicle['reason']['text']}", markup=False, soft_wrap=True)
