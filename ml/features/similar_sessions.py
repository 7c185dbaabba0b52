"""Knowledge of likeness: what earlier sessions that looked the same at plug-in came to, whoever's they were.

Like is: much the same stated stay, requested energy and hour of arrival, on the same kind of day; the very same request
counts most. A kernel-weighted quantile of the nearest ones speaks where no group holds enough of them.
"""

from typing import Final

import numpy as np
import polars as pl

from ml.models.protocol import FloatArray

VALUES: Final = {"stay_h": "similar_stay_h", "energy_kwh": "similar_energy_kwh"}
SHARES: Final = {"median": 0.5, "low": 0.25, "high": 0.75}
COLUMNS: Final = tuple(f"{name}_{share}" for name in VALUES.values() for share in SHARES)
NEAREST: Final = 30
LEAST_KNOWN: Final = 40
MOST_KNOWN: Final = 4000
"""The latest outcomes that are compared; what lies further back has changed, and costs time."""
REQUEST_SCALE: Final = 0.3  # of the logarithm of 1 + kWh
OTHER_REQUEST, OTHER_DAY = 1.5, 2.0
"""What another request, and another kind of day, count, in hours of stated stay."""
NOT_SAID: Final = -24.0


def add(rows: pl.DataFrame, finished: pl.DataFrame) -> pl.DataFrame:
    """Add weighted quantiles of what the sessions most like each row came to, of those known at ``predicted_at``.

    Args:
        rows: Questions with site_id, stated_h, requested_kwh, arrival_clock_h, is_weekend.
        finished: The same of sessions that are over, in the order in which that became known, with ``VALUES``.
    """
    found = np.full((rows.height, len(COLUMNS)), np.nan)
    site, past_site = rows["site_id"].fill_null("").to_numpy(), finished["site_id"].fill_null("").to_numpy()
    for name in np.unique(site):
        mine, past = np.flatnonzero(site == name), np.flatnonzero(past_site == name)
        found[mine] = _of_site(rows[mine], finished[past])
    return rows.with_columns(pl.Series(name, found[:, at], nan_to_null=True) for at, name in enumerate(COLUMNS))


def _of_site(rows: pl.DataFrame, finished: pl.DataFrame) -> FloatArray:
    asked, known = _said(rows), _said(finished)
    instants = finished["known_at"].to_physical().to_numpy()
    seen = np.searchsorted(instants, rows["predicted_at"].to_physical().to_numpy(), side="right")
    came = finished.select(pl.col(list(VALUES)).cast(pl.Float64).fill_null(float("nan"))).to_numpy()
    found = np.full((rows.height, len(COLUMNS)), np.nan)
    for row in np.flatnonzero(seen >= LEAST_KNOWN):
        first = max(0, int(seen[row]) - MOST_KNOWN)
        away = _away(asked[row], known[first : seen[row]])
        nearest = np.argpartition(away, NEAREST)[:NEAREST]
        found[row] = _weighted(came[first + nearest], np.exp(-away[nearest]))
    return found


def _said(rows: pl.DataFrame) -> FloatArray:
    """Return what is compared: stated hours, request (log and plain), clock, kind of day."""
    request = pl.col("requested_kwh")
    return rows.select(
        pl.col("stated_h").fill_null(NOT_SAID),
        request.log1p().fill_null(0.0).alias("log") / REQUEST_SCALE,
        request.fill_null(NOT_SAID).alias("request"),
        "arrival_clock_h",
        pl.col("is_weekend").cast(pl.Float64),
    ).to_numpy()


def _away(row: FloatArray, past: FloatArray) -> FloatArray:
    """Return how unlike past sessions are, in hours of stated stay."""
    apart = np.abs(past - row)
    other = OTHER_REQUEST * (apart[:, 2] > 0.02) + OTHER_DAY * apart[:, 4]
    return np.asarray(apart[:, 0] + apart[:, 1] + apart[:, 3] + other)


def _weighted(came: FloatArray, weights: FloatArray) -> FloatArray:
    """Return the weighted quantiles of each column of outcomes; NaN where none is known."""
    quantiles = []
    for values in came.T:
        order = np.argsort(values)
        ordered, share = values[order], np.where(np.isfinite(values[order]), weights[order], 0.0)
        total = share.sum()
        if total <= 0:
            quantiles += [np.nan] * len(SHARES)
            continue
        quantiles += np.interp(list(SHARES.values()), np.cumsum(share) / total, ordered).tolist()
    return np.asarray(quantiles)
