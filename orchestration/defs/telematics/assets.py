"""Snapshots, positions and trips of all telematics sources."""

from orchestration.ingest_assets import ingest_assets

telematics = ingest_assets(
    group="telematics",
    kinds=("rfms_v4", "geotab"),
    entities=("vehicle_snapshot", "vehicle_position", "trip"),
)
