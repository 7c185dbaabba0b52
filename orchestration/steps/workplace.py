"""What every step works with: settings, the configuration, the landing zone."""

from dataclasses import dataclass
from functools import cached_property

from core.landing import Landing
from core.settings import Settings
from ingestion.registry import Registry, load_registry


@dataclass(frozen=True)
class Workplace:
    """Settings, and what is opened from them on first use."""

    settings: Settings

    @cached_property
    def registry(self) -> Registry:
        """The configuration.

        Raises:
            ingestion.registry.ConfigurationError: it has mistakes; the error lists all of them.
        """
        return load_registry(self.settings.config_dir)

    @cached_property
    def landing(self) -> Landing:
        """The landing zone, with a zero-row file for every entity."""
        landing = Landing(self.settings.landing_dir)
        landing.prepare()
        return landing
