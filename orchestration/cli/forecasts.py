"""``depotwise forecast …``: what a forecast would have been worth."""

import os
import secrets
from pathlib import Path
from typing import Annotated

import typer

from orchestration.cli.output import console, friendly, say_json

app = typer.Typer(help="Forecasts: backtests against baselines.", no_args_is_help=True)


@app.callback()
def group() -> None:
    """Forecasts: backtests against baselines."""


@app.command()
def backtest(
    set_name: Annotated[str, typer.Option("--set", help="Format of the files: carta, acn_noid, sap, canonical, …")],
    path: Annotated[Path, typer.Option(exists=True, help="A file or a folder.")],
    target: Annotated[
        str,
        typer.Option(
            help="return_at, soc_at_arrival_pct, departure_at, energy_kwh, plug_in_delay, base_load_kw or pv_kw."
        ),
    ],
    test_from: Annotated[str, typer.Option(help="First local date of the test (an ordinal where a set has no dates).")],
    test_to: Annotated[str | None, typer.Option(help="Last one, inclusive; without it, to the end.")] = None,
    predictions: Annotated[Path | None, typer.Option(help="Write every test row to this Parquet file.")] = None,
    report: Annotated[
        Path | None, typer.Option(help="Write a page with tables and pictures to this HTML file.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object as the last line.")] = False,
) -> None:
    """Rolling-origin backtest on raw files, in a temporary home: the model beside every baseline."""
    from core.pseudonyms import KEY_VARIABLE
    from orchestration.steps.backtest import BACKTEST_ERRORS, backtest_files

    # Nothing of a backtest outlives it, so neither needs the key of its pseudonyms.
    os.environ.setdefault(KEY_VARIABLE, secrets.token_hex(32))
    with friendly(*BACKTEST_ERRORS), console.status(f"Backtesting {target} on {set_name}"):
        document = backtest_files(
            set_name, path, target=target, test_from=test_from, test_to=test_to, predictions=predictions
        )
    if report is not None:
        from reporting.backtest_page import build_backtest_page

        report.write_text(build_backtest_page(document), encoding="utf-8")
    if json:
        say_json(document)
        return
    unit = document["unit"]
    console.print(f"{document['rows']} rows, {document['test_from']} to {document['test_to']}, errors in {unit}")
    for name, figures in sorted(document["forecasts"].items(), key=lambda item: item[1]["mae"]):
        mark = "→" if name == document["promoted"] else " "
        coverage = figures["coverage"].get("90")
        covered = "no intervals" if coverage is None else f"90 % covers {coverage:.1f} %"
        errors = f"MAE {figures['mae']:.3f}  pinball {figures['pinball']:.3f}"
        console.print(f"{mark} {name:32} {errors}  {covered}", markup=False)
