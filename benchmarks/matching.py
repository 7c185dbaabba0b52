"""How many transactions are matched to the right vehicle without a card: ``python -m benchmarks.matching``.

Simulated depots are served over real sockets and ingested; then all their transactions are matched once more with the
tokens and names of some of them hidden, and compared with who was really plugged in.
"""

import argparse
import os
import secrets
import sys
import tempfile
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl

from benchmarks.replay import HISTORY_DAYS, prepared
from core.schema import INSTANT
from core.settings import Settings
from ingestion.identity import evidence_at
from ingestion.matching import Evidence, match_evidence
from orchestration.demo.drive import SECRETS
from orchestration.replay.place import ReplayPlace
from orchestration.replay.truth import Truth

NIGHTS = 30
TOLERANCE = timedelta(minutes=10)
HEAD = "| seed | hidden | of vehicles | right | wrong | none | of guests | taken for a vehicle |"
PLACE = ("station_id", "connector_id")


def hidden(evidence: Evidence, share: int) -> Evidence:
    """Return evidence in which one transaction in ``share`` names neither card nor vehicle; 1 hides all."""
    is_hidden = pl.col("started_at").dt.epoch("us") % share == 0
    names = (pl.when(is_hidden).then(None).otherwise(pl.col(name)).alias(name) for name in ("token", "vehicle_id"))
    return replace(evidence, transactions=evidence.transactions.with_columns(is_hidden=is_hidden).with_columns(*names))


def counts(evidence: Evidence, truth: Truth, as_of: datetime) -> list[int]:
    """Return of the hidden transactions: of vehicles, right, wrong, none, of guests, guests taken for a vehicle."""
    plugs = pl.DataFrame(
        [(*plug.connector, plug.plugged_at, plug.vehicle_id) for plug in truth.plugs],
        schema={"station_id": pl.String, "connector_id": pl.Int64, "plugged_at": INSTANT, "true_id": pl.String},
        orient="row",
    ).sort("plugged_at")
    key = [*PLACE, "transaction_id", "started_at"]
    asked = evidence.transactions.filter("is_hidden").select(key)
    transactions = replace(evidence, transactions=evidence.transactions.drop("is_hidden"))
    found = (
        match_evidence(transactions, as_of=as_of)
        .join(asked, on=key)
        .sort("started_at")
        .join_asof(
            plugs,
            left_on="started_at",
            right_on="plugged_at",
            by=list(PLACE),
            strategy="nearest",
            tolerance=TOLERANCE,
            check_sortedness=False,  # both are sorted, which cannot be checked by group
        )
    )
    ours, guests = found.filter(pl.col("true_id").is_not_null()), found.filter(pl.col("true_id").is_null())
    named = ours.filter(pl.col("vehicle_id").is_not_null())
    right = named.filter(pl.col("vehicle_id") == pl.col("true_id")).height
    taken = guests.filter(pl.col("vehicle_id").is_not_null()).height
    return [ours.height, right, named.height - right, ours.height - named.height, guests.height, taken]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table."""
    cli = argparse.ArgumentParser(description=__doc__)
    cli.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    cli.add_argument("--vehicles", type=int, default=24)
    cli.add_argument("--days", type=int, default=HISTORY_DAYS + NIGHTS + 1)
    cli.add_argument("--port-base", type=int, default=19600)
    cli.add_argument("--keep", type=Path, help="folder of depots, as benchmarks.replay keeps them")
    chosen = cli.parse_args(arguments)
    for name in SECRETS:
        os.environ.setdefault(name, secrets.token_hex(16))
    print(HEAD, "|---" * 8 + "|", sep="\n")
    with tempfile.TemporaryDirectory() if chosen.keep is None else nullcontext(chosen.keep) as folder:
        for seed in chosen.seeds:
            home = Path(folder) / f"seed-{seed}"
            scenario = prepared(home, seed=seed, vehicles=chosen.vehicles, days=chosen.days, port_base=chosen.port_base)
            place = ReplayPlace(Settings(home=home / "home", config=scenario.config_dir))
            evidence = evidence_at(place.landing, place.registry, as_of=scenario.start_at)
            truth = Truth.read(scenario.folder / "truth.json")
            for share, what in ((1, "all"), (3, "one in three")):
                figures = " | ".join(map(str, counts(hidden(evidence, share), truth, scenario.start_at)))
                print(f"| {seed} | {what} | {figures} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
