"""Fitted models on disk: trees, the misses that calibrate them, and a card with the decision and its numbers.

Layout: ``<models>/<site>/<target>/<version>/{card.json, trees.json, misses.parquet}``, and decisions on drift in
``<models>/<site>/<target>/drift/<instant>.json``. A version is whole or absent
(the folder is renamed into place) and is named after the instant whose knowledge it holds, so a forecast as of an
earlier instant can never load it.
"""

import json
import shutil
import uuid
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import polars as pl

from core.files import write_text_atomic
from core.time_grid import format_instant, parse_instant, to_utc
from ml.evaluation.rolling_origin import MODELS, TREES
from ml.models.baselines import Baseline
from ml.models.blend import TreesAndRule
from ml.models.protocol import Forecaster
from ml.models.quantile_trees import QuantileTrees, TreeParameters
from ml.targets import Target

CARD: Final = "card.json"
TREES_FILE: Final = "trees.json"
MISSES: Final = "misses.parquet"
DRIFT: Final = "drift"


@dataclass(frozen=True, slots=True)
class StoredModel:
    """What a training left behind for one site and target.

    ``misses`` are forecasts of the promoted forecaster that it had not been fitted on, with their outcomes:
    raw quantiles, actual, known_at, horizon.
    """

    card: dict[str, Any]
    forecaster: Forecaster
    misses: pl.DataFrame

    @property
    def version(self) -> str:
        """Version of the fit."""
        return str(self.card["version"])

    @property
    def trained_as_of(self) -> datetime:
        """The instant whose knowledge it holds."""
        return parse_instant(self.card["trained_as_of"])


class ModelRegistry:
    """Reads and writes the models of one folder.

    Invariants: ``newest`` never returns a model that knows more than its ``as_of``.
    """

    def __init__(self, models_dir: Path) -> None:
        self.models_dir = models_dir

    def store(self, card: dict[str, Any], *, trees: QuantileTrees | None, misses: pl.DataFrame) -> Path:
        """Put a version in place; one that is there already is left as it is."""
        folder = self._folder(str(card["site_id"]), str(card["target"])) / str(card["version"])
        if folder.exists():
            return folder
        temporary = folder.with_name(f".{card['version']}.{uuid.uuid4().hex}.tmp")
        temporary.mkdir(parents=True)
        try:
            (temporary / CARD).write_text(json.dumps(card, indent=1, sort_keys=True) + "\n", encoding="utf-8")
            (temporary / TREES_FILE).write_text(json.dumps(trees.dumped() if trees else []), encoding="utf-8")
            misses.write_parquet(temporary / MISSES)
            temporary.rename(folder)
        except OSError:
            # Somebody else who trained at the same time was first; anything else is an error.
            if not folder.exists():
                raise
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return folder

    def store_drift(self, decision: dict[str, Any]) -> Path:
        """Put a decision on drift beside the models of its target; made again, it says the same."""
        stamp = str(decision["as_of"]).replace(":", "").replace("-", "")
        path = self._folder(str(decision["site_id"]), str(decision["target"])) / DRIFT / f"{stamp}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text_atomic(path, json.dumps(decision, indent=1, sort_keys=True) + "\n")
        return path

    def drift(self, *, site_id: str, target: str) -> list[dict[str, Any]]:
        """Return all decisions on drift of a site and target, oldest first."""
        found = sorted((self._folder(site_id, target) / DRIFT).glob("*.json"))
        return [json.loads(path.read_text(encoding="utf-8")) for path in found]

    def cards(self, *, site_id: str, target: str) -> list[dict[str, Any]]:
        """Return all cards of a site and target, oldest first."""
        found = sorted(self._folder(site_id, target).glob(f"[!.]*/{CARD}"))
        return [json.loads(path.read_text(encoding="utf-8")) for path in found]

    def newest(self, target: Target, *, site_id: str, as_of: datetime) -> StoredModel | None:
        """Return the newest model that holds nothing newer than ``as_of``; None when there is none."""
        cards = self.cards(site_id=site_id, target=target.name)
        old_enough = [card for card in cards if parse_instant(card["trained_as_of"]) <= to_utc(as_of)]
        return self._load(target, old_enough[-1]) if old_enough else None

    def _load(self, target: Target, card: dict[str, Any]) -> StoredModel:
        folder = self._folder(card["site_id"], card["target"]) / card["version"]
        promoted = card["promotion"]["promoted"]
        forecaster: Forecaster
        if card["trees"] and promoted in MODELS:
            trees = QuantileTrees.restore(
                json.loads((folder / TREES_FILE).read_text(encoding="utf-8")),
                engine=card["trees"]["engine"],
                features=card["trees"]["features"],
                anchor=target.baseline(card["trees"]["anchor"]),
                parameters=TreeParameters.model_validate(card["trees"]["parameters"]),
            )
            rule = target.baseline(card["trees"]["rule"])
            forecaster = trees if promoted == TREES else TreesAndRule(promoted, trees, rule)
        else:
            forecaster = target.baseline(promoted)
        return StoredModel(card, forecaster, pl.read_parquet(folder / MISSES))

    def _folder(self, site_id: str, target: str) -> Path:
        return self.models_dir / site_id / target


def version_name(as_of: datetime, *, code_version: int) -> str:
    """Return the version that a training at this instant makes: sorted as text, versions are sorted by time."""
    return f"{format_instant(as_of).replace(':', '').replace('-', '')}-c{code_version}"


def trees_card(trees: QuantileTrees, *, rule: Baseline) -> dict[str, Any]:
    """Return what is needed to restore trees, and the rule that they may meet halfway."""
    return {
        "rule": rule.name,
        "engine": trees.engine,
        "anchor": trees.anchor.name,
        "features": list(trees.features),
        "parameters": trees.parameters.model_dump(mode="json"),
    }
