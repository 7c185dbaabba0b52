"""What the platform itself concluded: forecasts, plans, publications, and rows it did not trust."""

from core.schema import Entity, flag, instant, integer, number, text

QUANTILES = (0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975)
TARGETS = ("return_at", "soc_at_arrival_pct", "departure_at", "energy_kwh", "base_load_kw", "pv_kw")

FORECAST = Entity(
    "forecast",
    "A forecast as it was made. Instants are hours after predicted_at (unit hours). Grain: site, target, subject, "
    "predicted_at.",
    ("site_id", "target", "subject_id", "predicted_at"),
    {
        "site_id": text("Site.", required=True),
        "target": text("What is forecast.", required=True, values=TARGETS),
        "subject_id": text("Vehicle and duty, transaction or slot that it speaks of.", required=True),
        "vehicle_id": text("Vehicle, if it speaks of one."),
        "predicted_at": instant("as_of of the forecast.", required=True),
        "unit": text("hours, pp, kwh or kw.", required=True, values=("hours", "pp", "kwh", "kw")),
        "point": number("Point forecast.", required=True),
        "q025": number("2.5 % quantile."),
        "q05": number("5 % quantile."),
        "q10": number("10 % quantile."),
        "q25": number("25 % quantile."),
        "q50": number("Median."),
        "q75": number("75 % quantile."),
        "q90": number("90 % quantile."),
        "q95": number("95 % quantile."),
        "q975": number("97.5 % quantile."),
        "name": text("Forecaster that was used.", required=True),
        "model_version": text("Version of its fit."),
        "rung": integer("Rung of the fallback ladder, 1 (best) to 6.", required=True, minimum=1, maximum=6),
        "newest_input_at": instant("observed_at of the newest fact it used."),
    },
)

PLAN = Entity(
    "plan",
    "A charge-by-departure plan, whole. Grain: plan.",
    ("plan_id",),
    {
        "plan_id": text("Hash of site, as_of and problem.", required=True),
        "site_id": text("Site.", required=True),
        "as_of": instant("What was known then is what it is made of.", required=True),
        "start_at": instant("Start of slot 0.", required=True),
        "slots": integer("Slots of slot_minutes each.", required=True, minimum=1),
        "problem_json": text("planning_problem/1.", required=True),
        "plan_json": text("plan/1.", required=True),
        "inputs_json": text("Source, age and rung of every vehicle's input.", required=True),
        "publication_json": text("publication/1: what was handed to the bridge."),
        "cost_total": number("Planned cost."),
        "currency": text("Currency."),
        "peak_kw": number("Planned peak of the site's import."),
        "ready_vehicles": integer("Vehicles planned to be ready.", minimum=0),
        "short_vehicles": integer("Vehicles planned to be short.", minimum=0),
        "trigger": text("nightly, intraday, plug_in, deviation or override."),
    },
)

PLAN_VEHICLE = Entity(
    "plan_vehicle",
    "One vehicle's line of a plan. Grain: plan, vehicle.",
    ("plan_id", "vehicle_id"),
    {
        "plan_id": text("Plan.", required=True),
        "site_id": text("Site.", required=True),
        "vehicle_id": text("Vehicle.", required=True),
        "station_id": text("Station, once it is known."),
        "connector_id": integer("Connector, once it is known."),
        "transaction_id": text("Transaction, once it runs."),
        "expected_arrival_at": instant("When it can be plugged in."),
        "requested_departure_at": instant("Planned pull-out."),
        "expected_soc_at_arrival_pct": number("SoC it starts from.", minimum=0, maximum=100),
        "min_target_soc_pct": number("SoC it must reach.", minimum=0, maximum=100),
        "predicted_departure_soc_pct": number("SoC it will reach.", minimum=0, maximum=101),
        "planned_energy_kwh": number("Grid-side energy planned.", minimum=0),
        "shortfall_kwh": number("Grid-side energy missing at departure.", minimum=0),
        "reason_code": text("Why it will be short; NULL when it is not."),
        "reason_text": text("The same for people."),
        "soc_rung": integer("Rung of its SoC.", minimum=1, maximum=6),
        "soc_source": text("Where its SoC came from."),
        "soc_age_min": number("How old that was, in minutes.", minimum=0),
    },
)

PLAN_INTERVAL = Entity(
    "plan_interval",
    "Planned power per vehicle and slot; slots without power are left out. Grain: plan, vehicle, start.",
    ("plan_id", "vehicle_id", "start_at"),
    {
        "plan_id": text("Plan.", required=True),
        "site_id": text("Site.", required=True),
        "vehicle_id": text("Vehicle.", required=True),
        "start_at": instant("Start of the slot.", required=True),
        "end_at": instant("End of the slot.", required=True),
        "power_kw": number("Grid-side power.", required=True, minimum=0),
    },
)

PROFILE_STATE = Entity(
    "profile_state",
    "What became of a published entry at its connector. Grain: plan, station, connector, observed_at.",
    ("plan_id", "station_id", "connector_id", "observed_at"),
    {
        "plan_id": text("Plan.", required=True),
        "site_id": text("Site.", required=True),
        "station_id": text("Station.", required=True),
        "connector_id": integer("Connector.", required=True, minimum=0),
        "state": text(
            "Outbox state.",
            required=True,
            values=(
                "pending",
                "sent",
                "accepted",
                "verified",
                "rejected",
                "expired",
                "superseded",
                "transaction_changed",
            ),
        ),
        "evidence": text("Rung of evidence.", values=("none", "accepted", "composite", "offered", "metered")),
        "detail": text("What the station said."),
    },
)

QUARANTINED_ROW = Entity(
    "quarantined_row",
    "A source record that cannot be trusted, as it came. Grain: source record, reason.",
    ("entity", "record_ref", "reason"),
    {
        "entity": text("Entity it would have become.", required=True),
        "record_ref": text("Where it came from: file and line, page and index, or frame.", required=True),
        "reason": text("Why, as a word for counting.", required=True),
        "detail": text("Why, for people, with the value."),
        "record_json": text("The record, precise position and secrets left out."),
        "is_restricted": flag("The record holds personal data."),
    },
)

OVERRIDE_KINDS = ("charge_now", "out_of_service", "departure", "target")
OVERRIDE = Entity(
    "override",
    "What an operator decided, until when, and why; cancelled by a later version. Grain: override.",
    ("override_id",),
    {
        "override_id": text("Override.", required=True),
        "site_id": text("Site.", required=True),
        "vehicle_id": text("Vehicle that it is about; NULL where it is about a connector."),
        "station_id": text("Station of the connector that it is about."),
        "connector_id": integer("Connector that it is about.", minimum=0),
        "kind": text("What was decided.", required=True, values=OVERRIDE_KINDS),
        "departure_at": instant("Departure that was set."),
        "target_soc_pct": number("SoC to leave with that was set.", minimum=0, maximum=100),
        "valid_from_at": instant("From when it holds.", required=True),
        "valid_until_at": instant("When it expires.", required=True),
        "reason": text("Why."),
        "decided_by": text("Keyed hash of the account that decided."),
        "is_cancelled": flag("It was cancelled; NULL or false: it stands."),
    },
)

ENTITIES = (FORECAST, PLAN, PLAN_VEHICLE, PLAN_INTERVAL, PROFILE_STATE, OVERRIDE, QUARANTINED_ROW)
