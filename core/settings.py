"""Settings from the environment (prefix ``DEPOTWISE_``), and the folders that follow from them.

This is the only place that reads the environment, secrets apart: those are read by name where they are used, so that
no settings object can be printed with a secret in it.
"""

import os
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class MissingSecretError(RuntimeError):
    """A secret that the configuration names is not in the environment."""


class Settings(BaseSettings):
    """Where things are. Every field can be set as ``DEPOTWISE_<FIELD>``."""

    model_config = SettingsConfigDict(env_prefix="DEPOTWISE_", frozen=True)

    home: Path = Field(Path("data/home"), description="All that is generated lies below it.")
    config: Path | None = Field(None, description="Configuration folder; without it, HOME/config.")
    threads: int = Field(1, ge=1, description="Threads for model training; small fleets are fastest on one.")

    @property
    def config_dir(self) -> Path:
        """The folder of sites.yaml, vehicles.csv and the rest."""
        return self.config if self.config is not None else self.home / "config"

    @property
    def payloads_dir(self) -> Path:
        """Provider bytes as they came."""
        return self.home / "payloads"

    @property
    def landing_dir(self) -> Path:
        """Canonical rows: the truth."""
        return self.home / "landing"

    @property
    def warehouse_path(self) -> Path:
        """The dbt warehouse: a cache, disposable."""
        return self.home / "warehouse" / "warehouse.duckdb"

    @property
    def published_path(self) -> Path:
        """The analysts' read-only copy of the marts."""
        return self.home / "published" / "marts.duckdb"

    @property
    def models_dir(self) -> Path:
        """Fitted models and their cards."""
        return self.home / "models"

    @property
    def reports_dir(self) -> Path:
        """Pages and exports for people."""
        return self.home / "reports"

    @property
    def dagster_dir(self) -> Path:
        """Dagster's own storage (DAGSTER_HOME)."""
        return self.home / "dagster"

    @property
    def bridge_dir(self) -> Path:
        """The bridge's outbox and frame log."""
        return self.home / "bridge"


def secret(name: str) -> str:
    """Return a secret from the environment.

    Raises:
        MissingSecretError: it is not set; the message names the variable, never a value.
    """
    value = os.environ.get(name)
    if not value:
        raise MissingSecretError(f"set the environment variable {name}; the configuration refers to it")
    return value
