-- What is known of a vehicle's SoC when it pulled out, with the rung of the evidence, and whether it was plugged in.
-- A reading from before the last drive is no evidence; one of the same stay is moved forward by the energy that the
-- charger counted since. Rung 1: at most half an hour old. Rung 2: older, nothing charged since. Rung 3: older, with
-- charger-counted energy on top. Whatever lies below (forecasts, history) is no evidence.
with departures as (
    select
        *,
        -- A stay of unknown beginning, or longer than a week, is looked at for a week.
        greatest(arrived_at, {{ add_minutes('pull_out_at', -10080) }}) as stay_start_at
    from {{ ref('int_departures__matched') }}
),

-- The provider's last word on the way in may be a few minutes older than the end of the drive.
readings as (
    select
        departures.departure_id, readings.observed_at, readings.soc_pct, readings.origin,
        row_number() over (partition by departures.departure_id order by readings.observed_at desc) as reading_rank
    from departures
    inner join {{ ref('int_soc_readings__unioned') }} as readings
        on
            departures.vehicle_id = readings.vehicle_id
            and readings.observed_at <= departures.pull_out_at
            and readings.observed_at >= departures.stay_start_at - interval 10 minutes
            and (
                departures.last_moved_at is null
                or readings.observed_at >= departures.last_moved_at - interval 10 minutes
            )
),

anchors as (
    select departure_id, observed_at as soc_observed_at, soc_pct, origin from readings where reading_rank = 1
),

stays as (
    select
        departures.departure_id, departures.pull_out_at, sessions.session_id, sessions.energy_kwh as session_kwh,
        coalesce(sessions.ended_at, departures.pull_out_at) as ended_at,
        -- Of a kilowatt-hour at the metering point, what reaches the battery.
        case sessions.metering_point
            when 'battery_in' then 1
            when 'evse_dc_out'
                then
                    least(
                        1,
                        coalesce(vehicles.efficiency, {{ var('default_efficiency') }})
                        / {{ var('dc_charger_efficiency') }}
                    )
            else coalesce(vehicles.efficiency, {{ var('default_efficiency') }})
        end as efficiency
    from departures
    inner join {{ ref('int_sessions__matched') }} as sessions
        on
            departures.vehicle_id = sessions.vehicle_id
            and sessions.started_at <= departures.pull_out_at
            and coalesce(sessions.ended_at, departures.pull_out_at) >= departures.stay_start_at
    left join {{ ref('int_vehicles__current') }} as vehicles on sessions.vehicle_id = vehicles.vehicle_id
),

-- A session that goes on after the reading and says nothing of its energy leaves the sum unknown.
shares as (
    select
        stays.departure_id,
        case
            when spans.session_id is null and stays.session_kwh is not null then 0
            else
                spans.energy_kwh * stays.efficiency
                * {{ overlap_minutes(
                    'spans.span_start_at', 'spans.span_end_at', 'anchors.soc_observed_at', 'stays.pull_out_at'
                ) }}
                / {{ minutes_between('spans.span_start_at', 'spans.span_end_at') }}
        end as battery_kwh
    from stays
    inner join anchors on stays.departure_id = anchors.departure_id and stays.ended_at > anchors.soc_observed_at
    left join {{ ref('int_charging_spans__metered') }} as spans
        on
            stays.session_id = spans.session_id
            and spans.span_end_at > anchors.soc_observed_at
            and spans.span_start_at < stays.pull_out_at
),

charged as (
    select departure_id, {{ sum_if_complete('battery_kwh') }} as battery_kwh
    from shares
    group by departure_id
),

plug_reports as (
    select departures.departure_id, bool_or(snapshots.is_plugged) as was_seen_plugged
    from departures
    inner join {{ ref('stg_vehicle_snapshot') }} as snapshots
        on
            departures.vehicle_id = snapshots.vehicle_id
            and snapshots.observed_at between departures.stay_start_at and departures.pull_out_at
    group by departures.departure_id
),

-- A site whose chargers spoke in those hours would have told of a session.
charger_reports as (
    select distinct departures.departure_id
    from departures
    inner join {{ ref('int_sessions__matched') }} as sessions
        on
            departures.site_id = sessions.site_id
            and sessions.started_at <= departures.pull_out_at
            and coalesce(sessions.ended_at, sessions.started_at) >= departures.stay_start_at
),

joined as (
    select
        departures.*,
        anchors.soc_observed_at, anchors.origin as soc_origin, anchors.soc_pct as observed_soc_pct,
        {{ minutes_between('anchors.soc_observed_at', 'departures.pull_out_at') }} as soc_age_min,
        case when charged.departure_id is null then 0 else charged.battery_kwh / vehicles.capacity_kwh * 100 end
            as added_soc_pct,
        case
            when stays.departure_id is not null or plug_reports.was_seen_plugged then true
            when not plug_reports.was_seen_plugged or charger_reports.departure_id is not null then false
        end as was_plugged_in
    from departures
    left join anchors on departures.departure_id = anchors.departure_id
    left join charged on departures.departure_id = charged.departure_id
    left join (select distinct departure_id from stays) as stays on departures.departure_id = stays.departure_id
    left join plug_reports on departures.departure_id = plug_reports.departure_id
    left join charger_reports on departures.departure_id = charger_reports.departure_id
    left join {{ ref('int_vehicles__current') }} as vehicles on departures.vehicle_id = vehicles.vehicle_id
),

-- What is not due has no evidence yet. Where the charged energy cannot be told in points of SoC, a fresh reading stands for itself and a stale one for
-- nothing.
judged as (
    select
        *,
        case
            when soc_age_min is null or not is_due then null
            when soc_age_min <= {{ var('fresh_soc_minutes') }} then 1
            when added_soc_pct > 0 then 3
            when added_soc_pct = 0 then 2
        end as soc_rung
    from joined
)

select
    departure_id, block_id, operating_date, vehicle_id, site_id, timezone, route_id, planned_departure_at,
    planned_return_at, planned_distance_km, min_target_soc_pct, departed_at, pull_out_at, arrived_at, is_due,
    was_plugged_in,
    case when soc_rung is not null then least(100, observed_soc_pct + coalesce(added_soc_pct, 0)) end as soc_pct,
    soc_rung,
    case when soc_rung is not null then soc_origin end as soc_origin,
    case when soc_rung is not null then soc_observed_at end as soc_observed_at,
    case when soc_rung is not null then soc_age_min end as soc_age_min,
    case when soc_rung is not null then added_soc_pct end as added_soc_pct,
    source
from judged
