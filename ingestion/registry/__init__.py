"""The configuration: sites, sources, connectors, vehicles, tokens, assignments and duties.

``load_registry`` reads a folder and gives a frozen ``Registry``, or one ``ConfigurationError`` with every mistake.
"""

from pathlib import Path

from ingestion.registry.checks import CROSS_CHECKS
from ingestion.registry.loading import read_folder
from ingestion.registry.mistakes import ConfigurationError, Mistake
from ingestion.registry.registry import Registry, UnknownEntryError

__all__ = ["ConfigurationError", "Mistake", "Registry", "UnknownEntryError", "load_registry"]


def load_registry(folder: Path) -> Registry:
    """Read, validate and cross-check a configuration folder.

    Raises:
        ConfigurationError: it holds every mistake of every file.
    """
    found = read_folder(folder)
    mistakes = [*found.mistakes, *(mistake for check in CROSS_CHECKS for mistake in check(found))]
    if mistakes:
        raise ConfigurationError(mistakes)
    return Registry(
        sites=found.sites.entries,
        sources=found.sources.entries,
        connectors=found.connectors.entries,
        vehicles=found.vehicles.entries,
        tokens=found.tokens.entries,
        assignments=found.assignments.entries,
        duties=found.duties.entries,
    )
