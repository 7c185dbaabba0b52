"""``python -m orchestration.cli`` is ``depotwise``."""

from orchestration.cli.app import main

main()
