"""Gradient-boosted quantile trees on what the anchor rule misses.

LightGBM where its library loads; scikit-learn's histogram trees where the system lacks libgomp, said once and
recorded in ``engine``. Deterministic for equal rows and hyper-parameters. Fitting only: what goes in is features' work.
"""

import base64
import logging
import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, Literal, Self

import numpy as np
import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from ml.dataset import thinned
from ml.models.baselines import Baseline
from ml.models.protocol import LEVELS, FloatArray

LOGGER = logging.getLogger(__name__)
MODEL_CODE_VERSION: Final = 2
Engine = Literal["lightgbm", "sklearn"]


class TreeParameters(BaseModel):
    """Hyper-parameters, declared once."""

    model_config = ConfigDict(frozen=True)

    levels: tuple[float, ...] = Field(
        (0.05, 0.25, 0.5, 0.75, 0.95), description="Quantiles that get trees of their own; others are interpolated."
    )
    trees: int = Field(200, ge=1, description="Boosting rounds per quantile, on large sets.")
    learning_rate: float = Field(0.1, gt=0, description="Shrinkage of each round.")
    leaves: int = Field(15, ge=2, description="Leaves per tree; small fleets have few days.")
    least_rows_in_leaf: int = Field(10, ge=1, description="Rows that a leaf needs, on large sets.")
    feature_share: float = Field(0.5, gt=0, le=1, description="Share of features that each tree may look at.")
    row_share: float = Field(0.8, gt=0, le=1, description="Share of rows that each tree is grown on.")
    bins: int = Field(63, ge=2, le=255, description="Histogram bins per feature.")
    l2: float = Field(1.0, ge=0, description="L2 penalty on leaf values.")
    seed: int = Field(20260101, description="Seed of all chance.")
    most_rows: int = Field(60_000, ge=100, description="Rows beyond this are thinned, evenly over time.")
    least_rows: int = Field(60, ge=10, description="With fewer rows no trees are grown.")
    forest_trees: int = Field(100, ge=1, description="Trees of a forest, where one answers beside boosted ones.")
    forest_leaf_rows: int = Field(3, ge=1, description="Rows that a leaf of the forest needs.")
    forest_feature_share: float = Field(0.4, gt=0, le=1, description="Share of features that each of its splits sees.")
    threads: int = Field(1, ge=1, description="Threads; small fleets are fastest on one.")

    def leaf_rows(self, outcomes: int, *, level: float, rows_per_outcome: float = 1.0) -> int:
        """Return the least rows in a leaf: more for outer quantiles, which few rows cannot tell apart.

        Rows that share an outcome (one cycle, asked about at several instants) count as one.
        """
        least = max(3, min(self.least_rows_in_leaf, outcomes // 40))
        return round(least * rows_per_outcome * 0.5 / min(level, 1 - level))

    def rounds(self, rows: int) -> int:
        """Return the boosting rounds for a training set of this size: a small one is learnt by heart in few."""
        return min(self.trees, max(60, rows // 20))


class TooFewRowsError(ValueError):
    """There are too few finished rows to grow trees on; rules serve instead."""


@cache
def tree_engine() -> Engine:
    """Return which library grows the trees here; the reason for the second choice is logged once."""
    try:
        import lightgbm  # noqa: F401 (loading it is the question)
    except (ImportError, OSError) as error:
        LOGGER.warning("LightGBM cannot load (%s); scikit-learn's histogram trees serve instead", error)
        return "sklearn"
    return "lightgbm"


@dataclass(frozen=True, slots=True)
class QuantileTrees:
    """Fitted trees: quantiles of actual minus anchor, added to the anchor.

    Invariants: quantiles do not cross (they are sorted) and stay within the anchor's bounds.
    """

    name: str
    engine: Engine
    features: tuple[str, ...]
    anchor: Baseline
    parameters: TreeParameters
    members: tuple[Any, ...]
    outright: bool = False
    conditional_on: tuple[str, ...] = ()

    @classmethod
    def fit(
        cls,
        rows: pl.DataFrame,
        *,
        features: Sequence[str],
        anchor: Baseline,
        parameters: TreeParameters,
        outright: bool = False,
        engine: Engine | None = None,
    ) -> Self:
        """Grow trees on rows with features and ``actual``.

        Args:
            rows: Features and ``actual``, and ``subject_id``: rows that share one are about one outcome.
            features: Columns that trees may look at.
            anchor: The rule whose misses they learn.
            parameters: See there.
            outright: As many trees again learn the outcome itself, and its root, which long stays pull less at; the
                mean of the three answers counts, for they err differently. Outcomes are not negative then.
            engine: Which library grows them; without it, the first choice that loads here.

        Raises:
            TooFewRowsError: fewer finished rows than the parameters ask for.
        """
        known = thinned(rows.filter(pl.col("actual").is_not_null()), parameters.most_rows)
        if known.height < parameters.least_rows:
            raise TooFewRowsError(f"{known.height} finished rows; {parameters.least_rows} are needed to grow trees")
        chosen = engine or tree_engine()
        grow = _grow_lightgbm if chosen == "lightgbm" else _grow_sklearn
        missed = known["actual"].to_numpy() - anchor.points(known)
        outcomes = known["subject_id"].n_unique()
        leaves = [
            parameters.leaf_rows(outcomes, level=level, rows_per_outcome=known.height / outcomes)
            for level in parameters.levels
        ]
        inputs = matrix(known, features)
        members = grow(inputs, missed, leaves, parameters)
        if outright:
            actual = known["actual"].to_numpy()
            for turn, learnt in enumerate((actual, np.sqrt(np.maximum(actual, 0.0))), start=1):
                # Another seed: other features and rows are looked at, and the mean is steadier.
                other = parameters.model_copy(update={"seed": parameters.seed + turn})
                members += grow(inputs, learnt, leaves, other)
        return cls(f"{chosen}_quantiles", chosen, tuple(features), anchor, parameters, tuple(members), outright)

    def quantiles(self, rows: pl.DataFrame) -> FloatArray:
        """Return raw quantiles, shape (rows, levels)."""
        if rows.is_empty():
            return np.empty((0, len(LEVELS)))
        inputs = matrix(rows, self.features)
        grown = np.column_stack([member.predict(inputs) for member in self.members])
        count, anchored = len(self.parameters.levels), self.anchor.points(rows)[:, None]
        answers = [anchored + np.sort(grown[:, :count], axis=1)]
        if self.outright:
            itself, root = np.sort(grown[:, count : 2 * count], axis=1), np.sort(grown[:, 2 * count :], axis=1)
            answers += [itself, np.maximum(root, 0.0) ** 2]
        quantiles = spread_levels(np.mean(answers, axis=0), np.asarray(self.parameters.levels))
        return np.clip(quantiles, *self.anchor.bounds)

    def dumped(self) -> list[str]:
        """Return the trees as texts that ``restore`` reads."""
        if self.engine == "lightgbm":
            return [member.model_to_string() for member in self.members]
        return [base64.b64encode(pickle.dumps(member)).decode() for member in self.members]

    @classmethod
    def restore(
        cls,
        texts: Sequence[str],
        *,
        engine: Engine,
        features: Sequence[str],
        anchor: Baseline,
        parameters: TreeParameters,
        outright: bool = False,
    ) -> Self:
        """Read trees that ``dumped`` wrote; the models folder is our own, and trusted like our code."""
        if engine == "lightgbm":
            import lightgbm

            members = [lightgbm.Booster(model_str=text) for text in texts]
        else:
            members = [pickle.loads(base64.b64decode(text)) for text in texts]  # noqa: S301 (our own file)
        return cls(f"{engine}_quantiles", engine, tuple(features), anchor, parameters, tuple(members), outright)


def matrix(rows: pl.DataFrame, features: Sequence[str]) -> FloatArray:
    """Return features as an array; unknown is NaN, which trees treat as its own case."""
    return rows.select(pl.col(list(features)).cast(pl.Float64).fill_null(float("nan"))).to_numpy()


def spread_levels(grown: FloatArray, levels: FloatArray) -> FloatArray:
    """Return quantiles at ``LEVELS`` from quantiles at fewer levels, linear in the normal score beyond and between."""
    from scipy.special import ndtri

    known, wanted = ndtri(levels), ndtri(LEVELS)
    right = np.clip(np.searchsorted(known, wanted), 1, len(known) - 1)
    share = (wanted - known[right - 1]) / (known[right] - known[right - 1])
    spread = grown[:, right - 1] * (1 - share) + grown[:, right] * share
    return np.sort(spread, axis=1)


def _grow_lightgbm(
    inputs: FloatArray, missed: FloatArray, leaf_rows: Sequence[int], parameters: TreeParameters
) -> list[Any]:
    import lightgbm

    common = {
        "objective": "quantile",
        "learning_rate": parameters.learning_rate,
        "num_leaves": parameters.leaves,
        "feature_fraction": parameters.feature_share,
        "bagging_fraction": parameters.row_share,
        "bagging_freq": 1,
        "extra_trees": True,  # thresholds drawn at random: steadier where a few days must teach many habits
        "lambda_l2": parameters.l2,
        "seed": parameters.seed,
        "num_threads": parameters.threads,
        "deterministic": True,
        "force_row_wise": True,
        "verbosity": -1,
    }
    # Outer quantiles ask for larger leaves than the median does, on one stored data set.
    storage = {"max_bin": parameters.bins, "feature_pre_filter": False, "verbosity": -1}
    data = lightgbm.Dataset(inputs, missed, params=storage, free_raw_data=False)
    rounds = parameters.rounds(len(missed))
    return [
        lightgbm.train({**common, "alpha": level, "min_data_in_leaf": least}, data, rounds)
        for level, least in zip(parameters.levels, leaf_rows, strict=True)
    ]


def _grow_sklearn(
    inputs: FloatArray, missed: FloatArray, leaf_rows: Sequence[int], parameters: TreeParameters
) -> list[Any]:
    from sklearn.ensemble import HistGradientBoostingRegressor
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # it ships no types

    # A column without any value cannot be cut into bins there; a constant is as uninformative.
    inputs = np.where(np.isnan(inputs).all(axis=0), 0.0, inputs)
    models = [
        HistGradientBoostingRegressor(
            loss="quantile",
            quantile=level,
            learning_rate=parameters.learning_rate,
            max_iter=parameters.rounds(len(missed)),
            max_leaf_nodes=parameters.leaves,
            min_samples_leaf=least,
            l2_regularization=parameters.l2,
            max_bins=parameters.bins,
            early_stopping=False,
            random_state=parameters.seed,
        )
        for level, least in zip(parameters.levels, leaf_rows, strict=True)
    ]
    with threadpool_limits(limits=parameters.threads):
        return [model.fit(inputs, missed) for model in models]
