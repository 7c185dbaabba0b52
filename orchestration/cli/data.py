"""``depotwise import`` and ``depotwise sql``: files into landing, questions to the published marts."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from orchestration.cli.keys import ensure_hash_key
from orchestration.cli.output import console, friendly, say_json


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("import")(import_files)
    app.command()(sql)


def import_files(
    path: Annotated[Path, typer.Argument(exists=True, help="A file, or a folder of files.")],
    format: Annotated[str, typer.Option("--format", help="carta, sap, acn, …; `--format help` lists them.")],  # noqa: A002 (the contract's word)
    marts: Annotated[bool, typer.Option(help="Rebuild and publish the marts afterwards.")] = True,
    json: Annotated[bool, typer.Option("--json", help="One JSON object as the last line.")] = False,
) -> None:
    """Land files of a known format. What cannot be trusted is quarantined with its reason; the rest lands."""
    from core.landing import Landing
    from core.settings import Settings
    from ingestion.columns import UnreadableError
    from ingestion.imports import FORMATS, import_path

    if format == "help":
        for name, reader in sorted(FORMATS.items()):
            console.print(f"  {name:16} {reader.title}", markup=False)
        raise typer.Exit
    settings = Settings()
    ensure_hash_key(settings)
    landing = Landing(settings.landing_dir)
    landing.prepare()
    with friendly(UnreadableError), console.status(f"Reading {path.name}"):
        report = import_path(path, format, landing=landing, as_of=datetime.now(UTC))
    if marts:
        from orchestration import warehouse

        with friendly(warehouse.WarehouseError), console.status("Building marts"):
            warehouse.build(settings)
            warehouse.publish(settings)
    document = report.document()
    if json:
        say_json(document)
        return
    rows = document["rows"]
    console.print(
        f"{rows['read']} rows read = {rows['landed']} landed + {rows['duplicates']} duplicates "
        f"+ {rows['quarantined']} quarantined"
    )
    for reason, count in sorted(document["reasons"].items()):
        console.print(f"  {count:>8} {reason}", markup=False)
    for table, count in sorted(document["entities"].items()):
        console.print(f"  {count:>8} rows in {table}", markup=False)


def sql(
    query: Annotated[str, typer.Argument(help="One SELECT over the marts, e.g. 'select * from fct_trip'.")],
    limit: Annotated[int, typer.Option(min=1, help="Rows printed at most.")] = 50,
    json: Annotated[bool, typer.Option("--json", help="One JSON object per row.")] = False,
) -> None:
    """Ask the published marts: read-only, locked down, no access to files or the network."""
    from core.settings import Settings
    from orchestration import warehouse

    with friendly(warehouse.WarehouseError):
        frame = warehouse.query(Settings(), query)
    if json:
        typer.echo(frame.head(limit).write_ndjson(), nl=False)
        return
    import polars as pl

    with pl.Config(tbl_rows=limit, tbl_cols=-1, tbl_width_chars=console.width, tbl_hide_dataframe_shape=True):
        typer.echo(frame.head(limit))
    if frame.height > limit:
        console.print(f"… {frame.height - limit} rows more (--limit)")
