-- Every trip is in exactly one vehicle-day, and so is every known kilometre.
with trips as (
    select count(*) as trips, coalesce(sum(distance_km), 0) as distance_km
    from {{ ref('fct_trip') }}
),

days as (
    select coalesce(sum(trips), 0) as trips from {{ ref('fct_duty_cycle_day') }}
),

complete as (
    select coalesce(sum(trips.distance_km), 0) as trip_km, coalesce(max(days.distance_km), 0) as day_km
    from {{ ref('fct_duty_cycle_day') }} as days
    inner join {{ ref('fct_trip') }} as trips
        on days.vehicle_id = trips.vehicle_id and days.operating_date = trips.operating_date
    where days.trips_without_distance = 0
    group by days.vehicle_id, days.operating_date
)

select trips.trips, days.trips as trips_in_days
from trips
cross join days
where trips.trips <> days.trips
union all
select trip_km, day_km
from complete
where abs(trip_km - day_km) > 0.001
