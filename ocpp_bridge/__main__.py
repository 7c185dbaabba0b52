"""``python -m ocpp_bridge --config bridge.yaml``: the service without the rest of the command line."""

import argparse
import logging
import sys
from pathlib import Path

from ocpp_bridge import command


def main() -> int:
    """Parse the arguments and serve."""
    parser = argparse.ArgumentParser(prog="python -m ocpp_bridge", description="The OCPP bridge as a service.")
    parser.add_argument("--config", type=Path, required=True, help="bridge.yaml")
    parser.add_argument("--log-level", default="INFO", choices=("DEBUG", "INFO", "WARNING", "ERROR"))
    arguments = parser.parse_args()
    logging.basicConfig(
        level=arguments.log_level, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s %(message)s"
    )
    return command.run(arguments.config)


if __name__ == "__main__":
    sys.exit(main())
