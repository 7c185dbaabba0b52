-- Every planned departure that dispatch did not withdraw, with the pull-out that it became, and the arrival before it.
with duties as (
    select *, {{ surrogate_key(['block_id', 'operating_date', 'vehicle_id']) }} as departure_id
    from ({{ latest_of_sources(ref('stg_duty'), key=['block_id', 'operating_date', 'vehicle_id']) }}) as latest
    where not coalesce(is_deleted, false)
),

-- A pull-out leaves the depot for a real drive; where the provider names no depots, the first drive of a duty does.
pull_outs as (
    select
        vehicle_id, started_at as departed_at, start_site_id
    from {{ ref('int_trips__grouped') }}
    where
        (start_site_id is not null and not (start_site_id = end_site_id and distance_km < 1))
        or (start_site_id is null and started_at = duty_started_at)
),

candidates as (
    select
        duties.departure_id, pull_outs.vehicle_id, pull_outs.departed_at,
        abs({{ minutes_between('duties.planned_departure_at', 'pull_outs.departed_at') }}) as distance_min
    from duties
    inner join pull_outs
        on
            duties.vehicle_id = pull_outs.vehicle_id
            and (pull_outs.start_site_id is null or pull_outs.start_site_id = duties.site_id)
            and pull_outs.departed_at >= {{ add_minutes('duties.planned_departure_at', -120) }}
            and pull_outs.departed_at <= {{ add_minutes('duties.planned_departure_at', 240) }}
),

-- A pull-out serves one departure, and a departure has one pull-out: each the other's nearest.
nearest as (
    select *
    from (
        select
            *,
            row_number() over (partition by departure_id order by distance_min, departed_at) as pull_out_rank,
            row_number() over (partition by vehicle_id, departed_at order by distance_min, departure_id) as duty_rank
        from candidates
    ) as ranked
    where pull_out_rank = 1 and duty_rank = 1
),

departures as (
    select
        duties.*,
        nearest.departed_at,
        coalesce(nearest.departed_at, duties.planned_departure_at) as pull_out_at
    from duties
    left join nearest on duties.departure_id = nearest.departure_id
),

-- Drives that began before the pull-out: the last one's end is when the stay began.
drives as (
    select
        departures.departure_id,
        max(trips.ended_at) as arrived_at,
        max(coalesce(trips.ended_at, departures.pull_out_at)) as last_moved_at
    from departures
    inner join {{ ref('int_trips__grouped') }} as trips
        on departures.vehicle_id = trips.vehicle_id and trips.started_at < departures.pull_out_at
    group by departures.departure_id
),

-- The newest fact that anybody sent: what was due after it cannot be judged yet.
horizon as (
    select max(available_at) as known_until_at
    from (
        select max(available_at) as available_at from {{ ref('stg_vehicle_snapshot') }}
        union all select max(available_at) from {{ ref('stg_trip') }}
        union all select max(available_at) from {{ ref('stg_charging_transaction') }}
        union all select max(available_at) from {{ ref('stg_meter_value') }}
        union all select max(available_at) from {{ ref('stg_connector_status') }}
    ) as newest
)

select
    departures.departure_id, departures.block_id, departures.operating_date, departures.vehicle_id, departures.site_id,
    sites.timezone,
    departures.route_id, departures.planned_departure_at, departures.planned_return_at,
    departures.distance_km as planned_distance_km, departures.min_target_soc_pct,
    departures.departed_at, departures.pull_out_at, drives.arrived_at, drives.last_moved_at,
    coalesce(departures.pull_out_at <= horizon.known_until_at, false) as is_due,
    departures.source
from departures
cross join horizon
left join drives on departures.departure_id = drives.departure_id
left join {{ ref('int_sites__current') }} as sites on departures.site_id = sites.site_id
