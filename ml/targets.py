"""What is forecast: each target's truth, unit, bounds, rules and the ladder it falls back along.

Return times are hours after ``predicted_at``; SoC at arrival is percent, and what is taken off it comes from trip
energy over usable energy. Targets of an open cycle are unknown, never zero. No fitting here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import polars as pl

from ml.features.pipeline import CYCLE_COLUMNS, DRIVE_COLUMNS, PLUG_IN_COLUMNS, POWER_COLUMNS, SESSION_COLUMNS
from ml.history import first_known
from ml.models.baselines import Baseline, baselines_of

LEAST_OWN_OUTCOMES: Final = 3
HOURS_OF_A_CYCLE: Final = (0.0, 72.0)
HOURS_TO_A_PLUG_IN: Final = (0.0, 24.0)
HOURS_OF_A_STAY: Final = (0.0, 24.0 * 14)
PERCENT: Final = (0.0, 100.0)
KWH_OF_A_SESSION: Final = (0.0, 2000.0)
KW_OF_A_SITE: Final = (0.0, 100_000.0)
TREES_GIVEN: Final = "trees_given_distance"
RUNG_MODEL, RUNG_GROUP, RUNG_DEFAULT = 4, 5, 6


@dataclass(frozen=True, slots=True)
class Given:
    """What trees may look at besides, to show what the target would cost if it were known; they are never promoted."""

    conditional_on: tuple[str, ...]
    features: tuple[str, ...]
    anchor: Baseline


@dataclass(frozen=True, slots=True)
class Target:
    """A target.

    Args:
        name: Its name in the forecast table.
        unit: Unit of all its numbers.
        actual: The truth, from a closed question.
        features: Columns that a model may look at.
        baselines: Rules that a model must beat.
        anchor: The rule whose misses a model learns, and which answers before anything was trained.
        default_spread: Standard deviation assumed where nothing was ever observed.
        own_count: Column that counts the vehicle's own outcomes; with too few, the rung says so.
        any_known: Whether anything is known of the row's kind: a plan, a battery, anybody's outcomes.
        given: Trees that are told something that is only known afterwards.
        outright: Trees learn the outcome itself and its root too, not only what the anchor misses, and a forest answers
            beside them; the outcome is not negative.
        until: The instant of a closed question that it awaits: how far ahead it speaks is counted from there.
    """

    name: str
    unit: str
    actual: pl.Expr
    features: tuple[str, ...]
    baselines: tuple[Baseline, ...]
    anchor: Baseline
    default_spread: float
    own_count: str
    any_known: pl.Expr
    given: Given | None = None
    outright: bool = False
    until: str = "returned_at"

    def baseline(self, name: str) -> Baseline:
        """Return the rule of this name, the anchor included."""
        return next(rule for rule in (*self.baselines, self.anchor) if rule.name == name)

    @property
    def conditional_on(self) -> Mapping[str, tuple[str, ...]]:
        """What a forecaster uses that is only known afterwards, by its name; honest ones are not there."""
        rules = {rule.name: rule.conditional_on for rule in self.baselines if rule.conditional_on}
        return rules if self.given is None else {**rules, TREES_GIVEN: self.given.conditional_on}

    @property
    def bounds(self) -> tuple[float, float]:
        """Lowest and highest possible value."""
        return self.anchor.bounds

    def rung(self) -> pl.Expr:
        """Return the rung of the ladder: the subject's own history, its group's, or the default."""
        return (
            pl.when(pl.col(self.own_count) >= LEAST_OWN_OUTCOMES)
            .then(RUNG_MODEL)
            .when(self.any_known)
            .then(RUNG_GROUP)
            .otherwise(RUNG_DEFAULT)
        )


def _return_at() -> Target:
    clock = pl.col("prediction_clock_h")
    groups = ("vehicle", "model", "class", "site")

    def at(*medians: str, least: int = 1) -> pl.Expr:
        return first_known(*medians, least=least) - clock

    planned = pl.col("planned_return_h")
    lateness = first_known("vehicle_lateness_h_median", *(f"{group}_lateness_h_median" for group in groups))
    usual = at(*(f"{group}_return_clock_h_median" for group in groups))
    evening = (20.0 - clock).clip(lower_bound=4.0)
    ladder = pl.coalesce("expected_left_h", planned, usual, evening)
    rules: Mapping[str, pl.Expr] = {
        "planned_return": planned,
        "planned_return_plus_usual_lateness": planned + lateness,
        "vehicle_duty_weekday_median": at("vehicle_duty_weekday_return_clock_h_median"),
        "vehicle_weekday_median": at("vehicle_weekday_return_clock_h_median", least=2),
        "vehicle_median": at("vehicle_return_clock_h_median"),
        "duty_median": at("duty_return_clock_h_median"),
        "same_first_trip_median": at("first_trip_return_clock_h_median"),
        "last_week": pl.col("vehicle_weekday_return_clock_h_last") - clock,
        "site_median": at("site_return_clock_h_median"),
    }
    return Target(
        name="return_at",
        unit="hours",
        actual=(pl.col("returned_at") - pl.col("predicted_at")).dt.total_seconds() / 3600,
        features=CYCLE_COLUMNS,
        baselines=baselines_of(rules, ladder=ladder, bounds=HOURS_OF_A_CYCLE),
        anchor=Baseline("plan_or_habit", pl.col("expected_left_h"), ladder, HOURS_OF_A_CYCLE),
        default_spread=3.0,
        own_count="vehicle_return_clock_h_count",
        any_known=planned.is_not_null() | (pl.col("site_return_clock_h_count") >= 1),
    )


def _soc_at_arrival() -> Target:
    base = pl.coalesce("soc_base_pct", pl.lit(80.0))
    share_left = (pl.col("remaining_km") / pl.col("expected_km")).fill_nan(None).clip(0, 1).fill_null(1.0)
    groups = ("vehicle", "model", "class", "site")
    by_energy = pl.col("soc_base_pct") - pl.col("expected_drop_pp")
    site_km = 100 * pl.col("remaining_km") * pl.col("site_kwh_per_km_median") / pl.col("usable_kwh")
    vehicle_km = 100 * pl.col("remaining_km") * pl.col("vehicle_kwh_per_km_median") / pl.col("usable_kwh")
    usual_drop = first_known(*(f"{group}_drop_pp_median" for group in groups))
    ladder = pl.coalesce(by_energy, base - usual_drop * share_left, pl.lit(20.0))
    rules: Mapping[str, pl.Expr] = {
        "constant_kwh_per_km": pl.col("soc_base_pct") - site_km,
        "vehicle_kwh_per_km": pl.col("soc_base_pct") - vehicle_km,
        "vehicle_weekday_median": base - first_known("vehicle_weekday_drop_pp_median") * share_left,
        "vehicle_median": base - first_known("vehicle_drop_pp_median") * share_left,
        "last_week": base - pl.col("vehicle_weekday_drop_pp_last") * share_left,
        "class_median": base - first_known("class_drop_pp_median") * share_left,
        "site_median": base - first_known("site_drop_pp_median") * share_left,
    }
    return Target(
        name="soc_at_arrival_pct",
        unit="pp",
        actual=pl.col("soc_arrival_pct"),
        features=CYCLE_COLUMNS,
        baselines=baselines_of(rules, ladder=ladder, bounds=PERCENT),
        anchor=Baseline("energy_over_usable_kwh", by_energy, ladder, PERCENT),
        default_spread=20.0,
        own_count="vehicle_drop_pp_count",
        any_known=by_energy.is_not_null() | (pl.col("site_drop_pp_count") >= 1),
    )


def _soc_after_drive() -> Target:
    start, distance_km = pl.col("soc_start_pct"), pl.col("closed_distance_km")
    usual = first_known("vehicle_drop_pp_median", "everyone_drop_pp_median")
    hour = first_known("hour_drop_pp_median", least=3)
    weekday = first_known("weekday_drop_pp_median", least=3)
    ladder = pl.coalesce(start - usual, start - 10.0, pl.lit(50.0))
    rules: Mapping[str, pl.Expr] = {
        "vehicle_median": start - usual,
        "hour_of_departure_median": start - hour,
        "weekday_hour_median": start - weekday,
        "last_drive": start - pl.col("vehicle_drop_pp_last"),
        "usual_km_by_temperature": start - pl.col("usual_drop_pp"),
        "constant_kwh_per_usual_km": start - pl.col("mean_pp_per_km") * pl.col("vehicle_distance_km_median"),
    }
    by_temperature = start - pl.col("pp_per_km_at_temperature") * distance_km
    told: Mapping[str, pl.Expr] = {
        "constant_kwh_per_km": start - pl.col("mean_pp_per_km") * distance_km,
        "kwh_per_km_by_temperature": by_temperature,
    }
    given = ("distance_km",)
    return Target(
        name="soc_at_arrival_pct",
        unit="pp",
        actual=pl.col("soc_arrival_pct"),
        features=DRIVE_COLUMNS,
        baselines=(
            *baselines_of(rules, ladder=ladder, bounds=PERCENT),
            *baselines_of(told, ladder=ladder, bounds=PERCENT, conditional_on=given),
        ),
        anchor=Baseline("hour_or_vehicle_median", start - pl.coalesce(hour, usual), ladder, PERCENT),
        default_spread=10.0,
        own_count="vehicle_drop_pp_count",
        any_known=pl.col("everyone_drop_pp_count") >= 1,
        until="ended_at",
        given=Given(
            given,
            (*DRIVE_COLUMNS, "closed_distance_km"),
            Baseline("kwh_per_km_by_temperature", by_temperature, ladder, PERCENT, given),
        ),
    )


def _departure_at() -> Target:
    stay = "stay_h_median"
    clock = pl.col("arrival_clock_h")
    usual = first_known(f"hour_{stay}", f"site_{stay}", f"everyone_{stay}")
    rules: Mapping[str, pl.Expr] = {
        "hour_of_arrival_median": first_known(f"hour_{stay}", least=5),
        "user_median": first_known(f"user_{stay}"),
        "user_weekday_median": first_known(f"user_weekday_{stay}", f"user_{stay}"),
        "station_median": first_known(f"station_{stay}"),
        "last_week": first_known("user_stay_h_last"),
        "stated_departure": pl.col("stated_h"),
        "user_departure_time": first_known("user_departure_clock_h_median") - clock,
        "site_median": first_known(f"site_{stay}"),
    }
    known = pl.coalesce(first_known(f"user_{stay}", least=3), first_known(f"hour_{stay}", least=5))
    ladder = pl.coalesce(usual, pl.lit(8.0))
    return Target(
        name="departure_at",
        unit="hours",
        actual=(pl.col("ended_at") - pl.col("predicted_at")).dt.total_seconds() / 3600,
        features=SESSION_COLUMNS,
        baselines=baselines_of(rules, ladder=ladder, bounds=HOURS_OF_A_STAY),
        anchor=Baseline("user_or_hour_median", known, ladder, HOURS_OF_A_STAY),
        default_spread=4.0,
        own_count="user_stay_h_count",
        any_known=pl.col("everyone_stay_h_count") >= 1,
        outright=True,
        until="ended_at",
    )


def _energy_kwh() -> Target:
    energy = "energy_kwh_median"
    usual = first_known(f"hour_{energy}", f"site_{energy}", f"everyone_{energy}")
    rules: Mapping[str, pl.Expr] = {
        "site_median": first_known(f"site_{energy}"),
        "hour_of_arrival_median": first_known(f"hour_{energy}", least=5),
        "user_median": first_known(f"user_{energy}"),
        "user_weekday_median": first_known(f"user_weekday_{energy}", f"user_{energy}"),
        "station_median": first_known(f"station_{energy}"),
        "last_week": first_known("user_energy_kwh_last"),
        "requested_energy": pl.col("requested_kwh"),
    }
    known = pl.coalesce(first_known(f"user_{energy}", least=3), first_known(f"hour_{energy}", least=5))
    ladder = pl.coalesce(usual, pl.lit(10.0))
    return Target(
        name="energy_kwh",
        unit="kwh",
        actual=pl.col("energy_kwh"),
        features=SESSION_COLUMNS,
        baselines=baselines_of(rules, ladder=ladder, bounds=KWH_OF_A_SESSION),
        anchor=Baseline("user_or_hour_median", known, ladder, KWH_OF_A_SESSION),
        default_spread=10.0,
        own_count="user_energy_kwh_count",
        any_known=pl.col("everyone_energy_kwh_count") >= 1,
        outright=True,
        until="ended_at",
    )


def _plug_in_delay() -> Target:
    vehicle, site = first_known("vehicle_delay_h_median"), first_known("site_delay_h_median")
    ladder = pl.coalesce(first_known("vehicle_delay_h_median", least=3), site, pl.lit(10 / 60))
    rules: Mapping[str, pl.Expr] = {
        "ten_minutes": pl.lit(10 / 60),
        "vehicle_median": vehicle,
        "vehicle_weekday_median": first_known("vehicle_weekday_delay_h_median", "vehicle_delay_h_median"),
        "hour_of_return_median": first_known("hour_delay_h_median", least=3),
        "site_median": site,
        "last_return": pl.col("vehicle_delay_h_last"),
    }
    return Target(
        name="plug_in_delay",
        unit="hours",
        actual=pl.col("delay_h"),
        features=PLUG_IN_COLUMNS,
        baselines=baselines_of(rules, ladder=ladder, bounds=HOURS_TO_A_PLUG_IN),
        anchor=Baseline("vehicle_median", vehicle, ladder, HOURS_TO_A_PLUG_IN),
        default_spread=0.5,
        own_count="vehicle_delay_h_count",
        any_known=pl.col("site_delay_h_count") >= 1,
        until="plugged_at",
    )


def _site_power(name: str, *, default_kw: float, default_spread_kw: float) -> Target:
    """Return a target of a site's power in a slot; what nobody ever metered is taken to be the default."""
    kind, usual = "kind_quarter_power_kw_median", first_known("quarter_power_kw_median")
    ladder = pl.coalesce(first_known(kind), usual, first_known("site_power_kw_median"), pl.lit(default_kw))
    same_kind = first_known(kind, least=3)
    rules: Mapping[str, pl.Expr] = {
        "same_quarter_median": same_kind,
        "same_quarter_median_and_todays_level": same_kind + pl.col("power_day_over_usual_kw"),
        "weekday_quarter_median": first_known("weekday_quarter_power_kw_median"),
        "yesterday": pl.col("quarter_power_kw_last"),
        "last_week": pl.col("weekday_quarter_power_kw_last"),
        "power_now": pl.col("power_now_kw"),
    }
    return Target(
        name=name,
        unit="kw",
        actual=pl.col("power_kw"),
        features=POWER_COLUMNS,
        baselines=baselines_of(rules, ladder=ladder, bounds=KW_OF_A_SITE),
        anchor=Baseline("same_quarter_median", same_kind, ladder, KW_OF_A_SITE),
        default_spread=default_spread_kw,
        own_count="kind_quarter_power_kw_count",
        any_known=pl.col("site_power_kw_count") >= 1,
        until="slot_at",
    )


RETURN_AT: Final = _return_at()
SOC_AT_ARRIVAL: Final = _soc_at_arrival()
SOC_AFTER_DRIVE: Final = _soc_after_drive()
"""SoC at arrival where a source knows no depot: of each drive, not of a day's last return."""
DEPARTURE_AT: Final = _departure_at()
ENERGY_KWH: Final = _energy_kwh()
PLUG_IN_DELAY: Final = _plug_in_delay()
"""How long a vehicle that is back stands before it is plugged in."""
BASE_LOAD: Final = _site_power("base_load_kw", default_kw=10.0, default_spread_kw=20.0)
PV: Final = _site_power("pv_kw", default_kw=0.0, default_spread_kw=1.0)
"""Power of a site in a 15-minute slot; a site that never told of solar output is taken to have none."""
POWER_TARGETS: Final = (BASE_LOAD, PV)
CYCLE_TARGETS: Final = (RETURN_AT, SOC_AT_ARRIVAL)
SESSION_TARGETS: Final = (DEPARTURE_AT, ENERGY_KWH)


def with_actual(rows: pl.DataFrame, target: Target, *, as_of: datetime) -> pl.DataFrame:
    """Add ``actual``: NULL where it was not known at ``as_of`` (censored), or is out of the target's bounds."""
    low, high = target.bounds
    is_known = (pl.col("known_at") <= as_of) & target.actual.is_between(low, high)
    return rows.with_columns(actual=pl.when(is_known).then(target.actual.cast(pl.Float64)))
