"""``python -m ocpp_bridge --config bridge.yaml``: the service without the rest of the command line."""

import argparse
import sys
from pathlib import Path

from ocpp_bridge import command, logs


def main() -> int:
    """Parse the arguments and serve."""
    parser = argparse.ArgumentParser(prog="python -m ocpp_bridge", description="The OCPP bridge as a service.")
    parser.add_argument("--config", type=Path, required=True, help="bridge.yaml")
    parser.add_argument("--log-level", default="INFO", choices=("DEBUG", "INFO", "WARNING", "ERROR"))
    parser.add_argument("--log-format", default="text", choices=("text", "json"))
    arguments = parser.parse_args()
    logs.set_up(arguments.log_level, arguments.log_format)
    return command.run(arguments.config)


if __name__ == "__main__":
    sys.exit(main())
