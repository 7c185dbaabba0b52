"""``python -m benchmarks.bridge personalities|chaos|load|fuzz``: what each does and found is in docs/ocpp.md."""

import argparse
import asyncio
import os
import secrets
import sys
import tempfile
from pathlib import Path

from benchmarks.bridge import fuzz, load, personalities, seeds


async def _load(size: load.Load) -> None:
    with tempfile.TemporaryDirectory() as folder:
        print((await load.run(size, Path(folder))).text())


async def _fuzz(size: fuzz.Fuzz) -> None:
    with tempfile.TemporaryDirectory() as folder:
        print((await fuzz.run(size, Path(folder))).text())


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bridge", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    table = commands.add_parser("personalities", help="every kind of station through every step")
    table.add_argument("--write", action="store_true", help="put the table into docs/ocpp.md")
    storm = commands.add_parser("chaos", help="kills, drops, losses, delays, reboots; seeded")
    storm.add_argument("--first-seed", type=int, default=0)
    storm.add_argument("--runs", type=int, default=1)
    storm.add_argument("--stations", type=int, default=50)
    storm.add_argument("--jobs", type=int, default=1, help="seeds side by side, each in a process")
    many = commands.add_parser("load", help="many stations in other processes: connect, meter, publish, swap")
    many.add_argument("--stations", type=int, default=2000)
    many.add_argument("--meter-s", type=float, default=300.0)
    rude = commands.add_parser("fuzz", help="nonsense, beside an honest station")
    rude.add_argument("--frames", type=int, default=100_000)
    rude.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


def main() -> int:
    """Run what was asked for."""
    arguments = _parse()
    os.environ.setdefault("DEPOTWISE_HASH_KEY", secrets.token_hex(16))
    if arguments.command == "chaos":
        first, runs = arguments.first_seed, arguments.runs
        return min(1, seeds.run(first, runs, stations=arguments.stations, jobs=arguments.jobs))
    if arguments.command == "load":
        asyncio.run(_load(load.Load(stations=arguments.stations, meter_s=arguments.meter_s)))
    elif arguments.command == "fuzz":
        asyncio.run(_fuzz(fuzz.Fuzz(arguments.seed, arguments.frames)))
    else:
        rows = asyncio.run(personalities.try_all())
        print(personalities.table(rows))
        if arguments.write:
            personalities.write_table(rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
