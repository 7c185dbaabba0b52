"""The command line. Every command imports what it needs when it runs: ``depotwise plan`` must not wait for Dagster."""

from orchestration.cli.app import main

__all__ = ["main"]
