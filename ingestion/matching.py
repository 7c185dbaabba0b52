"""Which vehicle a charging transaction charges: a scored match over token, telematics and bay.

Pure and columnar: it reads nothing and lands nothing (``ingestion.identity`` does). Evidence adds up, contradiction
takes away; a match that is weak, or not clearly better than the next, is none. No match is an alert, not a guess.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import reduce
from operator import mul
from typing import Final, Literal

import polars as pl

from core.schema import INSTANT

TRANSACTION: Final = ("station_id", "connector_id", "transaction_id", "started_at")
VEHICLE: Final = "vehicle_id"

# What a piece of evidence is worth: the chance that it names the right vehicle if nothing else is known.
WEIGHTS: Final = {
    "is_named": 0.97,  # the back end itself names the vehicle
    "has_token": 0.95,  # cards are swapped now and then
    "plugged_then": 0.75,  # telematics saw the cable connect around the start
    "arrived_then": 0.35,  # it came to the depot shortly before; so did others
    "just_stopped": 0.35,  # a trip of it ended minutes before, nobody says where
    "stopped_then": 0.2,  # within the hour before
    "is_plugged": 0.3,  # it is plugged in while the transaction runs
    "in_own_bay": 0.3,
}
CONTRADICTION: Final = 0.1  # what is left of a score when the vehicle drives, or is not plugged in, meanwhile
LEAST_CONFIDENCE: Final = 0.5
LEAST_ODDS: Final = 2.0  # how much more doubt must be left of the next best vehicle than of the best
OWN_BAY_DOUBT: Final = 0.5  # what is left of the doubt about a place in its own bay, between two places of one vehicle
CLOCK_TOLERANCE: Final = timedelta(minutes=5)
LONGEST_PLUG_GAP: Final = timedelta(minutes=90)  # a cable that connected within a longer gap dates nothing
ARRIVAL_TO_PLUG: Final = timedelta(minutes=60)
STOP_TO_PLUG: Final = timedelta(minutes=15)
SOON: Final = timedelta(minutes=30)
SETTLING: Final = timedelta(minutes=2)  # the first samples after a start may still be of before
DRIVING_KMH: Final = 5.0


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a match is made of; all as known at the run's instant.

    Frames:
        transactions: ``charging_transaction`` rows, with ``site_id``.
        assignments: ``assignment`` rows (token, validity).
        snapshots: ``vehicle_snapshot`` rows.
        trips: ``trip`` rows.
        vehicles: ``vehicle_id, site_id, home_station_id, home_connector_id``.
        overrides: ``station_id, connector_id, transaction_id, vehicle_id``: what an operator has said.
    """

    transactions: pl.DataFrame
    assignments: pl.DataFrame
    snapshots: pl.DataFrame
    trips: pl.DataFrame
    vehicles: pl.DataFrame
    overrides: pl.DataFrame


NO_OVERRIDES: Final = pl.DataFrame(
    schema={"station_id": pl.String, "connector_id": pl.Int64, "transaction_id": pl.String, VEHICLE: pl.String}
)


def match_evidence(evidence: Evidence, *, as_of: datetime) -> pl.DataFrame:
    """Return a ``session_match`` row (without ``ingested_at``) for every transaction, sorted by its key.

    ``available_at`` is when the newest fact that was used could be known.
    """
    transactions = _with_extent(evidence.transactions, as_of)
    scored = _scored(_candidates(transactions, evidence), evidence)
    chosen = _one_place_at_a_time(_chosen(_where_they_fit(scored)))
    manual = _manual(transactions, evidence.overrides)
    decided = pl.concat([manual, chosen.join(manual, on=TRANSACTION, how="anti")], how="diagonal_relaxed")
    return (
        transactions.select(*TRANSACTION, known_at="available_at")
        .join(decided, on=TRANSACTION, how="left")
        .select(
            *TRANSACTION,
            VEHICLE,
            confidence=pl.col("score").round(2).fill_null(0.0),
            method=pl.col("method").fill_null("none"),
            observed_at="started_at",
            available_at=pl.max_horizontal("known_at", "evidence_at"),
        )
        .sort(TRANSACTION)
    )


def _with_extent(transactions: pl.DataFrame, as_of: datetime) -> pl.DataFrame:
    """Add when each transaction was over at the latest: the next start on its connector ends one that nobody closed."""
    next_start = pl.col("started_at").shift(-1).over("station_id", "connector_id")
    return (
        transactions.sort(TRANSACTION)
        .sort("started_at", maintain_order=True)
        .with_columns(
            until_at=pl.coalesce("ended_at", next_start, pl.lit(as_of, INSTANT)),
            is_closed=pl.col("ended_at").is_not_null(),
        )
    )


def _candidates(transactions: pl.DataFrame, evidence: Evidence) -> pl.DataFrame:
    """Return every vehicle that may be meant: those at home on the site, and those that a token or name points to."""
    facts = transactions.select(*TRANSACTION, "site_id", "until_at", "is_closed", "token", named=VEHICLE)
    at_home = facts.join(evidence.vehicles.select(VEHICLE, "site_id"), on="site_id", how="inner")
    by_token = _by_token(facts, evidence.assignments).join(facts, on=TRANSACTION)
    by_name = facts.filter(pl.col("named").is_not_null()).with_columns(pl.col("named").alias(VEHICLE))
    pairs = pl.concat([at_home, by_token, by_name], how="diagonal").unique([*TRANSACTION, VEHICLE])
    return pairs.sort(*TRANSACTION, VEHICLE)


def _by_token(facts: pl.DataFrame, assignments: pl.DataFrame) -> pl.DataFrame:
    tokens = assignments.filter(pl.col("token").is_not_null()).select(VEHICLE, "token", "valid_from_at", "valid_to_at")
    valid = (pl.col("valid_from_at") <= pl.col("started_at")) & (
        pl.col("valid_to_at").is_null() | (pl.col("started_at") < pl.col("valid_to_at"))
    )
    return facts.join(tokens, on="token", how="inner").filter(valid).select(*TRANSACTION, VEHICLE)


def _scored(pairs: pl.DataFrame, evidence: Evidence) -> pl.DataFrame:
    """Return the pairs with their evidence, score and method."""
    tokens = _by_token(pairs.drop(VEHICLE).unique(TRANSACTION), evidence.assignments).with_columns(has_token=True)
    bays = evidence.vehicles.select(VEHICLE, "home_station_id", "home_connector_id")
    own_bay = (pl.col("home_station_id") == pl.col("station_id")) & (
        pl.col("home_connector_id") == pl.col("connector_id")
    )
    known = (
        pairs.join(tokens.unique(), on=[*TRANSACTION, VEHICLE], how="left")
        .join(bays, on=VEHICLE, how="left")
        .with_columns(
            is_named=pl.col("named") == pl.col(VEHICLE), in_own_bay=own_bay, evidence_at=pl.lit(None, INSTANT)
        )
    )
    trips = evidence.trips.filter(~pl.col("is_deleted").fill_null(value=False))
    seen = _with_telematics(known, evidence.snapshots, trips).with_columns(pl.col(list(WEIGHTS)).fill_null(value=False))
    doubts = [pl.when(name).then(1 - weight).otherwise(1.0) for name, weight in WEIGHTS.items()]
    left = pl.when("is_contradicted").then(CONTRADICTION).otherwise(1.0)
    word = pl.when("is_named").then(pl.lit("vehicle_named")).when("has_token").then(pl.lit("token"))
    return seen.with_columns(score=(1 - reduce(mul, doubts)) * left, method=word.otherwise(pl.lit("arrival")))


def _with_telematics(pairs: pl.DataFrame, snapshots: pl.DataFrame, trips: pl.DataFrame) -> pl.DataFrame:
    """Add what telematics saw around the start and while the transaction ran."""
    ordered = snapshots.sort(VEHICLE, "observed_at")
    cable = ordered.filter(pl.col("is_plugged").is_not_null())
    plugs = _changes(cable, pl.col("is_plugged"))
    # Only a snapshot with a fix says where it was: fix and speed come together, and without them NULL means unknown.
    located = ordered.filter(pl.col("at_site_id").is_not_null() | pl.col("speed_kmh").is_not_null())
    here = located.with_columns(is_here=pl.col("at_site_id").is_not_null())
    arrivals = _changes(here, pl.col("is_here"))
    stops = trips.filter(pl.col("ended_at").is_not_null()).select(
        VEHICLE, after_at="ended_at", at_site_id="end_site_id", by_at="ended_at", seen_at="available_at"
    )
    dated = _with_stop(_with_arrival(_with_plug(pairs, plugs), pl.concat([arrivals, stops])), stops)
    return _with_state(dated, cable, _drives(ordered, trips))


def _drives(ordered: pl.DataFrame, trips: pl.DataFrame) -> pl.DataFrame:
    """Return instants at which a vehicle drove: what it reported on the way, and both ends of its trips."""
    reported = ordered.filter(pl.col("speed_kmh") > DRIVING_KMH).select(VEHICLE, driven_at="observed_at")
    ends = [
        trips.select(VEHICLE, driven_at=pl.col("started_at") + SETTLING),
        trips.select(VEHICLE, driven_at=pl.col("ended_at") - SETTLING).drop_nulls(),
    ]
    return pl.concat([reported, *ends])


def _changes(ordered: pl.DataFrame, state: pl.Expr) -> pl.DataFrame:
    """Return when a state became true: between ``after_at``, when it still was not, and ``by_at``."""
    before = state.shift(1).over(VEHICLE)
    return (
        ordered.with_columns(after_at=pl.col("observed_at").shift(1).over(VEHICLE))
        .filter(state & ~before)
        .select(VEHICLE, "after_at", "at_site_id", by_at="observed_at", seen_at="available_at")
    )


def _with_plug(pairs: pl.DataFrame, plugs: pl.DataFrame) -> pl.DataFrame:
    """Add whether a cable connected around the start: the first change that ended after it began before it."""
    first = pairs.with_columns(sought_at=pl.col("started_at") - CLOCK_TOLERANCE)
    joined = _nearest(first, plugs.drop("at_site_id"), "by_at", strategy="forward")
    around = (pl.col("after_at") <= pl.col("started_at") + CLOCK_TOLERANCE) & (
        pl.col("by_at") - pl.col("after_at") <= LONGEST_PLUG_GAP
    )
    return _told(joined, "plugged_then", around, "sought_at", "after_at", "by_at")


def _with_arrival(pairs: pl.DataFrame, arrivals: pl.DataFrame) -> pl.DataFrame:
    """Add whether the vehicle came to this site shortly before the start."""
    first = pairs.with_columns(sought_at=pl.col("started_at") + CLOCK_TOLERANCE)
    arrived = arrivals.rename({"at_site_id": "arrived_at_site_id"})
    joined = _nearest(first, arrived, "after_at", strategy="backward")
    shortly_before = (pl.col("started_at") <= pl.col("by_at") + ARRIVAL_TO_PLUG) & (
        pl.col("arrived_at_site_id") == pl.col("site_id")
    )
    return _told(joined, "arrived_then", shortly_before, "sought_at", "after_at", "by_at", "arrived_at_site_id")


def _with_stop(pairs: pl.DataFrame, stops: pl.DataFrame) -> pl.DataFrame:
    """Add whether the vehicle's last trip ended shortly, or just, before the start, at a place that nobody named."""
    first = pairs.with_columns(sought_at=pl.col("started_at") + CLOCK_TOLERANCE)
    joined = _nearest(first, stops.drop("after_at"), "by_at", strategy="backward")
    shortly_before = (pl.col("started_at") <= pl.col("by_at") + ARRIVAL_TO_PLUG) & pl.col("at_site_id").is_null()
    just_before = shortly_before & (pl.col("started_at") <= pl.col("by_at") + STOP_TO_PLUG)
    dated = joined.with_columns(just_stopped=just_before.fill_null(value=False))
    return _told(dated, "stopped_then", shortly_before, "sought_at", "by_at", "at_site_id")


def _with_state(pairs: pl.DataFrame, cable: pl.DataFrame, drives: pl.DataFrame) -> pl.DataFrame:
    """Add what was seen while the transaction ran: the first word on the cable, and whether the vehicle drove."""
    running = pairs.with_columns(sought_at=pl.col("started_at") + SETTLING)
    states = cable.select(VEHICLE, state_at="observed_at", state="is_plugged", seen_at="available_at")
    stated = _nearest(running, states, "state_at", strategy="forward")
    joined = _nearest(stated, drives, "driven_at", strategy="forward")
    meanwhile = pl.col("state_at") < pl.col("until_at")
    # Who drives off hours into a transaction that nobody closed has ended it; soon after the start it was never theirs.
    soon_at = pl.min_horizontal("until_at", pl.col("started_at") + SOON)
    closed_at = pl.when("is_closed").then(pl.col("until_at") - CLOCK_TOLERANCE).otherwise(soon_at)
    drove = (pl.col("driven_at") < closed_at).fill_null(value=False)
    unplugged = (meanwhile & ~pl.col("state")).fill_null(value=False)
    doubted = joined.with_columns(is_contradicted=drove | unplugged)
    return _told(doubted, "is_plugged", meanwhile & pl.col("state"), "sought_at", "state_at", "state", "driven_at")


def _nearest(
    pairs: pl.DataFrame, facts: pl.DataFrame, at: str, *, strategy: Literal["forward", "backward"]
) -> pl.DataFrame:
    """Join each pair with its vehicle's nearest fact after (before) ``sought_at``."""
    return pairs.sort("sought_at").join_asof(
        facts.sort(at), left_on="sought_at", right_on=at, by=VEHICLE, strategy=strategy, check_sortedness=False
    )


def _told(joined: pl.DataFrame, name: str, holds: pl.Expr, *spent: str) -> pl.DataFrame:
    """Add a piece of evidence, keep when it could be known, and drop the columns that it was made of."""
    evidence_at = pl.when(pl.col(name)).then(pl.max_horizontal("evidence_at", "seen_at")).otherwise("evidence_at")
    return (
        joined.with_columns(holds.fill_null(value=False).alias(name))
        .with_columns(evidence_at=evidence_at)
        .drop("seen_at", *spent)
    )


def _where_they_fit(scored: pl.DataFrame) -> pl.DataFrame:
    """Return the pairs less those whose vehicle fits another place better at the same time.

    Of many vehicles that come in the same hour each is plugged in somewhere: whoever belongs elsewhere, and fits there
    better than anybody, is no rival here. Between two places that fit a vehicle alike its own bay decides.
    """
    days = pl.date_ranges(pl.col("started_at").dt.date(), pl.col("until_at").dt.date())
    doubt = (1 - pl.col("score")) * pl.when("in_own_bay").then(OWN_BAY_DOUBT).otherwise(1.0)
    fits = scored.select(*TRANSACTION, VEHICLE, "until_at", "score", doubt=doubt).with_columns(day=days).explode("day")
    sure = fits.filter(pl.col("score") >= LEAST_CONFIDENCE)
    better = fits.join(sure, on=[VEHICLE, "day"], how="inner", suffix="_there").filter(
        pl.col("doubt_there") < pl.col("doubt"),
        pl.col("started_at_there") < pl.col("until_at"),
        pl.col("started_at") < pl.col("until_at_there"),
    )
    pair = [*TRANSACTION, VEHICLE]
    at_best = fits.join(better, on=pair, how="anti")
    winners = at_best.filter(pl.col("doubt") == pl.col("doubt").min().over(TRANSACTION)).select(pair).unique()
    there = [VEHICLE if name == VEHICLE else f"{name}_there" for name in pair]
    elsewhere = better.join(winners, left_on=there, right_on=pair, how="semi")
    return scored.join(elsewhere, on=pair, how="anti")


def _chosen(scored: pl.DataFrame) -> pl.DataFrame:
    """Return, for each transaction, the best vehicle where it is good enough and clearly better than the next."""
    ranked = scored.sort([*TRANSACTION, "score", VEHICLE], descending=[False] * len(TRANSACTION) + [True, False])
    next_best = pl.col("score").shift(-1).over(TRANSACTION).fill_null(0.0)
    return (
        ranked.with_columns(next_best=next_best)
        .unique(TRANSACTION, keep="first", maintain_order=True)
        .filter(pl.col("score") >= LEAST_CONFIDENCE, 1 - pl.col("next_best") >= LEAST_ODDS * (1 - pl.col("score")))
        .select(*TRANSACTION, "until_at", VEHICLE, "score", "method", "evidence_at")
    )


def _one_place_at_a_time(chosen: pl.DataFrame) -> pl.DataFrame:
    """Leave a vehicle that is matched to overlapping transactions the surest of them; of equals the latest start."""
    others = chosen.select(
        VEHICLE, *(pl.col(name).alias(f"other_{name}") for name in ("started_at", "until_at", "score"))
    )
    overlaps = (pl.col("other_started_at") < pl.col("until_at")) & (pl.col("started_at") < pl.col("other_until_at"))
    is_surer = (pl.col("other_score") > pl.col("score")) | (
        (pl.col("other_score") == pl.col("score")) & (pl.col("other_started_at") > pl.col("started_at"))
    )
    beaten = chosen.join(others, on=VEHICLE, how="inner").filter(overlaps & is_surer)
    return chosen.join(beaten.select(TRANSACTION).unique(), on=TRANSACTION, how="anti").drop("until_at")


def _manual(transactions: pl.DataFrame, overrides: pl.DataFrame) -> pl.DataFrame:
    """Return what operators have said; it needs no other evidence and yields to none."""
    said = transactions.drop(VEHICLE).join(overrides, on=["station_id", "connector_id", "transaction_id"], how="inner")
    return said.select(*TRANSACTION, VEHICLE, score=pl.lit(1.0), method=pl.lit("manual"))
