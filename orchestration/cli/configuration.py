"""``depotwise init`` and ``depotwise check``: a configuration to start from, and what is wrong with one."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from orchestration.cli.keys import ensure_hash_key
from orchestration.cli.output import console, friendly, say_json

CONFIG = typer.Option("--config", envvar="DEPOTWISE_CONFIG", help="Configuration folder (default HOME/config).")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(init)
    app.command()(check)


def init(path: Annotated[Path, typer.Argument(help="Folder to make; it must not hold a configuration yet.")]) -> None:
    """Write a commented starter configuration that validates as it stands."""
    from ingestion.registry.starter import write_starter

    with friendly(FileExistsError):
        write_starter(path)
    console.print(f"A starter configuration is in [bold]{path}[/]. Edit it, then run:")
    console.print(f"  depotwise check --config {path}")


def check(
    config: Annotated[Path | None, CONFIG] = None,
    connect: Annotated[bool, typer.Option(help="Also try every source and bridge.")] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON object as the last line.")] = False,
) -> None:
    """Validate configuration and credentials: every mistake at once, with what would be right."""
    from core.landing import Landing
    from core.settings import Settings
    from ingestion.registry.doctor import check as examine

    settings = Settings()
    ensure_hash_key(settings)
    folder = config or settings.config_dir
    landing = Landing(settings.landing_dir) if settings.landing_dir.exists() else None
    findings = examine(folder, as_of=datetime.now(UTC), connect=connect, landing=landing)
    failed = [finding for finding in findings if finding.is_error]
    if json:
        say_json(
            {
                "schema": "depotwise.check/1",
                "ok": not failed,
                "findings": [finding.document() for finding in findings],
            }
        )
    else:
        for finding in findings:
            console.print(str(finding), style="red" if finding.is_error else "yellow", markup=False, soft_wrap=True)
        console.print(f"{folder}: {len(failed)} to mend" if failed else f"{folder}: all is well", markup=False)
    raise typer.Exit(1 if failed else 0)
