"""Prices, weather and site load of all signal sources."""

from orchestration.ingest_assets import ingest_assets

signals = ingest_assets(
    group="signals",
    kinds=("day_ahead", "weather", "site_load"),
    entities=("price", "weather", "site_load"),
)
