"""A forest of randomised trees whose leaves vote: quantiles of what the most similar finished rows came to.

Boosted trees add up many small steps; a forest weighs whole outcomes by how many trees put them into the row's leaf
(quantile regression forests). The two err differently. Fitting only: what goes in is features' work.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
import polars as pl

from ml.dataset import thinned
from ml.models.protocol import LEVELS, FloatArray
from ml.models.quantile_trees import TooFewRowsError, TreeParameters, matrix

MOST_WEIGHTS: Final = 4_000_000
"""Rows times outcomes whose weights are held at once: 32 MB."""
UNKNOWN: Final = -99.0


@dataclass(frozen=True, slots=True)
class QuantileForest:
    """A fitted forest.

    Invariants: every quantile is an outcome that was seen; quantiles do not cross.

    Args:
        features: Columns that it looks at.
        forest: The trees.
        first_leaf: Number of each tree's first node among those of all trees.
        shares: Of each node (rows) and outcome (columns): the outcome's share of the node, where that is a leaf.
        outcomes: The outcomes, ascending.
    """

    features: tuple[str, ...]
    forest: Any
    first_leaf: Any
    shares: Any
    outcomes: FloatArray

    @classmethod
    def fit(cls, rows: pl.DataFrame, *, features: Sequence[str], parameters: TreeParameters) -> Self:
        """Grow a forest on rows with features and ``actual``, which is not negative.

        Raises:
            TooFewRowsError: fewer finished rows than the parameters ask for.
        """
        from scipy import sparse
        from sklearn.ensemble import ExtraTreesRegressor

        known = thinned(rows.filter(pl.col("actual").is_not_null()), parameters.most_rows).sort("actual")
        if known.height < parameters.least_rows:
            raise TooFewRowsError(f"{known.height} finished rows; {parameters.least_rows} are needed to grow trees")
        inputs, outcomes = _filled(matrix(known, features)), known["actual"].to_numpy()
        forest = ExtraTreesRegressor(
            n_estimators=parameters.forest_trees,
            min_samples_leaf=parameters.forest_leaf_rows,
            max_features=parameters.forest_feature_share,
            random_state=parameters.seed,
            n_jobs=parameters.threads,
        )
        # Splits that part the root's means are not made for the sake of a few long outcomes.
        forest.fit(inputs, np.sqrt(outcomes))
        nodes = [tree.tree_.node_count for tree in forest.estimators_]
        first_leaf = np.cumsum([0, *nodes[:-1]])
        leaf = (forest.apply(inputs) + first_leaf).ravel()
        row = np.repeat(np.arange(known.height), parameters.forest_trees)
        sizes = np.bincount(leaf, minlength=sum(nodes))
        shares = sparse.csr_matrix((1 / sizes[leaf], (leaf, row)), shape=(sum(nodes), known.height))
        return cls(tuple(features), forest, first_leaf, shares, outcomes)

    def quantiles(self, rows: pl.DataFrame) -> FloatArray:
        """Return raw quantiles, shape (rows, levels)."""
        step = max(1, MOST_WEIGHTS // len(self.outcomes))
        parts = [self._quantiles(rows[begin : begin + step]) for begin in range(0, rows.height, step)]
        return np.concatenate([np.empty((0, len(LEVELS))), *parts])

    def _quantiles(self, rows: pl.DataFrame) -> FloatArray:
        from scipy import sparse

        leaf = self.forest.apply(_filled(matrix(rows, self.features))) + self.first_leaf
        trees = leaf.shape[1]
        row = np.repeat(np.arange(rows.height), trees)
        falls = sparse.csr_matrix(
            (np.full(leaf.size, 1 / trees), (row, leaf.ravel())), shape=(rows.height, self.shares.shape[0])
        )
        below = np.cumsum((falls @ self.shares).toarray(), axis=1)
        last = len(self.outcomes) - 1
        return np.column_stack(
            [self.outcomes[np.minimum((below < level).sum(axis=1), last)] for level in LEVELS.tolist()]
        )


def _filled(inputs: FloatArray) -> FloatArray:
    """Return inputs with what is unknown below all that is known, so that one split sets it apart."""
    return np.where(np.isfinite(inputs), inputs, UNKNOWN)
