-- Gives every trip its duty and its operating day. A duty ends where the vehicle stands for hours, or for an hour at
-- its depot; it belongs to the local date on which it began, also past midnight. A vehicle that never rests gets a
-- new operating day every 24 hours from its first departure.
with horizons as (
    select source, max(available_at) as known_until_at
    from (
        select source, available_at from {{ ref('stg_trip') }}
        union all
        select source, available_at from {{ ref('stg_vehicle_snapshot') }}
    ) as heard
    group by source
),

trips as (
    select
        trips.*,
        horizons.known_until_at,
        coalesce(vehicles.site_id, trips.start_site_id) as home_site_id,
        coalesce(vehicles.timezone, sites.timezone) as known_timezone,
        max(coalesce(trips.ended_at, trips.started_at)) over earlier as previous_ended_at,
        lag(trips.end_site_id) over (partition by trips.vehicle_id order by trips.started_at) as previous_end_site_id,
        lead(trips.started_at) over (partition by trips.vehicle_id order by trips.started_at) as next_started_at
    from {{ ref('int_trips__measured') }} as trips
    left join {{ ref('int_vehicles__current') }} as vehicles on trips.vehicle_id = vehicles.vehicle_id
    left join {{ ref('int_sites__current') }} as sites on trips.start_site_id = sites.site_id
    left join horizons on trips.source = horizons.source
    window earlier as (
        partition by trips.vehicle_id order by trips.started_at rows between unbounded preceding and 1 preceding
    )
),

flagged as (
    select
        *,
        case
            when previous_ended_at is null then 1
            when {{ minutes_between('previous_ended_at', 'started_at') }} >= 60 * {{ var('duty_gap_hours') }} then 1
            when
                start_site_id = previous_end_site_id
                and {{ minutes_between('previous_ended_at', 'started_at') }} >= {{ var('depot_stop_minutes') }}
                then 1
            else 0
        end as begins_duty
    from trips
),

numbered as (
    select
        *,
        sum(begins_duty) over (
            partition by vehicle_id order by started_at rows between unbounded preceding and current row
        ) as duty_number
    from flagged
),

dated as (
    select
        *,
        min(started_at) over duty as duty_started_at,
        coalesce(
            {{ first_known('known_timezone') }} over duty_in_order, '{{ var("default_timezone") }}'
        ) as timezone,
        {{ first_known('known_timezone') }} over duty_in_order is null as is_timezone_assumed
    from numbered
    window
        duty as (partition by vehicle_id, duty_number),
        duty_in_order as (
            partition by vehicle_id, duty_number order by started_at
            rows between unbounded preceding and unbounded following
        )
)

select
    vehicle_id, started_at, ended_at, duty_started_at,
    {{ add_days(
        local_date('duty_started_at', 'timezone'),
        'floor(' ~ minutes_between('duty_started_at', 'started_at') ~ ' / 1440)'
    ) }} as operating_date,
    timezone, is_timezone_assumed, home_site_id,
    -- A vehicle that ended its newest trip elsewhere a moment ago is out still, for all we know.
    ended_at is not null and (
        next_started_at is not null
        or end_site_id is not null
        or {{ minutes_between('ended_at', 'known_until_at') }} >= 60 * {{ var('duty_gap_hours') }}
    ) as is_settled,
    distance_km, energy_kwh, energy_basis, soc_start_pct, soc_end_pct, start_site_id,
    end_site_id, route_id, trip_basis, source
from dated
