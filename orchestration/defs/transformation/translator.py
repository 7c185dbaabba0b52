"""How dbt's nodes are named in Dagster: the key is the place, the group is the domain."""

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

import dagster as dg
from dagster_dbt import DagsterDbtTranslator, DagsterDbtTranslatorSettings

LAYER_TAG = "depotwise/layer"
SETTINGS = DagsterDbtTranslatorSettings(enable_asset_checks=True, enable_source_tests_as_checks=True)


class PlaceTranslator(DagsterDbtTranslator):
    """Keys are ``[schema, table]``, groups are the folder below the layer, layers are tags."""

    def get_asset_key(self, dbt_resource_props: Mapping[str, Any]) -> dg.AssetKey:
        """Return the table's place; a source is the canonical entity it reads."""
        if dbt_resource_props["resource_type"] == "source":
            return dg.AssetKey(["raw", dbt_resource_props["name"]])
        return dg.AssetKey([dbt_resource_props["schema"], dbt_resource_props["name"]])

    def get_group_name(self, dbt_resource_props: Mapping[str, Any]) -> str | None:
        """Return the domain."""
        folders = PurePosixPath(dbt_resource_props["original_file_path"]).parts
        return folders[2] if len(folders) > 3 else "reference"

    def get_tags(self, dbt_resource_props: Mapping[str, Any]) -> Mapping[str, str]:  # noqa: ARG002 (an override)
        """Tag all that dbt builds, so that a job can select it whatever its domain."""
        return {LAYER_TAG: "dbt"}
