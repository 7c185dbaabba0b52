"""``depotwise audit …``: is the record of what was changed still whole?"""

from pathlib import Path
from typing import Annotated

import typer

from orchestration.cli.output import console, errors, friendly, say_json

app = typer.Typer(help="The audit log: who changed what when.", no_args_is_help=True)


@app.callback()
def audit() -> None:
    """Keep `verify` a command of its own."""


@app.command()
def verify(
    log: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="An audit.jsonl, of a bridge say.")],
    last: Annotated[str | None, typer.Option(help="The last hash as noted elsewhere; it must be in the log.")] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object as the last line.")] = False,
) -> None:
    """Check that no line was changed, removed or put in between. Exit code 1 if one was."""
    from core.audit import verify as check

    with friendly(OSError):
        found = check(log, must_hold=last)
    if json:
        problem = found.problem
        result = {"lines": found.lines, "last_hash": found.last_hash, "problem": problem}
        say_json({"schema": "depotwise.audit_verification/1", **result})
    elif found.problem is None:
        console.print(f"{found.lines} lines, whole; the last hash is {found.last_hash}", markup=False)
    else:
        errors.print(f"{log.name}: {found.problem}; {found.lines} lines before it are whole", markup=False)
    raise typer.Exit(0 if found.problem is None else 1)
