-- The outside temperature that a vehicle met on an operating day: its own sensor while it was out, else the weather at
-- its depot.
with days as (
    select
        vehicle_id, operating_date, min(home_site_id) as site_id, min(started_at) as first_departure_at,
        max(coalesce(ended_at, started_at)) as last_seen_at
    from {{ ref('int_trips__grouped') }}
    group by vehicle_id, operating_date
),

own as (
    select days.vehicle_id, days.operating_date, {{ exact_avg('snapshots.ambient_temperature_c') }} as temperature_c
    from days
    inner join {{ ref('stg_vehicle_snapshot') }} as snapshots
        on
            days.vehicle_id = snapshots.vehicle_id
            and snapshots.observed_at between days.first_departure_at and days.last_seen_at
    group by days.vehicle_id, days.operating_date
),

-- Of several issues of one hour, the last: the observation once there is one.
weather as (
    select place_id, start_at, end_at, temperature_c
    from (
        select
            *,
            row_number() over (
                partition by place_id, start_at order by issued_at desc, available_at desc, source
            ) as issue_rank
        from {{ ref('stg_weather') }}
    ) as issues
    where issue_rank = 1
),

at_depot as (
    select days.vehicle_id, days.operating_date, {{ exact_avg('weather.temperature_c') }} as temperature_c
    from days
    inner join weather
        on
            days.site_id = weather.place_id
            and weather.start_at < days.last_seen_at
            and weather.end_at > days.first_departure_at
    group by days.vehicle_id, days.operating_date
)

select
    days.vehicle_id, days.operating_date,
    coalesce(own.temperature_c, at_depot.temperature_c) as temperature_c,
    case
        when own.temperature_c is not null then 'vehicle'
        when at_depot.temperature_c is not null then 'weather'
    end as temperature_basis
from days
left join own on days.vehicle_id = own.vehicle_id and days.operating_date = own.operating_date
left join at_depot on days.vehicle_id = at_depot.vehicle_id and days.operating_date = at_depot.operating_date
