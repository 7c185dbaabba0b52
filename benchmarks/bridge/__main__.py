"""``python -m benchmarks.bridge personalities [--write]``: see docs/ocpp.md."""

import argparse
import asyncio
import os
import secrets
import sys

from benchmarks.bridge import personalities


def main() -> int:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bridge", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    table = commands.add_parser("personalities", help="every kind of station through every step")
    table.add_argument("--write", action="store_true", help="put the table into docs/ocpp.md")
    arguments = parser.parse_args()
    os.environ.setdefault("DEPOTWISE_HASH_KEY", secrets.token_hex(16))
    rows = asyncio.run(personalities.try_all())
    print(personalities.table(rows))
    if arguments.write:
        personalities.write_table(rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
