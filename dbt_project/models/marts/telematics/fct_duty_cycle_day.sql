with days as (
    select
        vehicle_id,
        operating_date,
        {{ value_at_first('timezone', 'started_at') }} as timezone,
        {{ value_at_first('is_timezone_assumed', 'started_at') }} as is_timezone_assumed,
        {{ value_at_first('home_site_id', 'started_at') }} as site_id,
        min(started_at) as first_departure_at,
        case when bool_and(is_settled) then max(ended_at) end as last_return_at,
        case when bool_and(is_settled) then {{ value_at_last('end_site_id', 'started_at') }} end as return_site_id,
        count(distinct duty_started_at) as duties,
        count(*) as trips,
        {{ sum_if_complete('distance_km') }} as distance_km,
        count(*) - count(distance_km) as trips_without_distance,
        {{ sum_if_complete(minutes_between('started_at', 'ended_at')) }} as driving_min,
        {{ sum_if_complete('energy_kwh') }} as energy_kwh,
        count(*) - count(energy_kwh) as trips_without_energy,
        {{ value_at_first('soc_start_pct', 'started_at') }} as soc_at_departure_pct,
        case when bool_and(is_settled) then {{ value_at_last('soc_end_pct', 'started_at') }} end as soc_at_return_pct,
        min(source) as source
    from {{ ref('int_trips__grouped') }}
    group by vehicle_id, operating_date
),

planned as (
    select
        vehicle_id, operating_date, min(planned_departure_at) as planned_departure_at,
        {{ value_at_last('planned_return_at', 'planned_departure_at') }} as planned_return_at
    from {{ ref('int_departures__matched') }}
    group by vehicle_id, operating_date
)

select
    days.vehicle_id, days.operating_date, days.timezone, days.is_timezone_assumed, days.site_id,
    days.first_departure_at, days.last_return_at, days.return_site_id, planned.planned_departure_at,
    planned.planned_return_at,
    {{ minutes_between('planned.planned_return_at', 'days.last_return_at') }} as return_delay_min,
    days.duties, days.trips, days.distance_km, days.trips_without_distance, days.driving_min, days.energy_kwh,
    days.trips_without_energy, days.soc_at_departure_pct, days.soc_at_return_pct, days.source
from days
left join planned on days.vehicle_id = planned.vehicle_id and days.operating_date = planned.operating_date
