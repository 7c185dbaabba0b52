-- Drives seen only as a rising odometer, for vehicles whose provider reports states but no trips.
with readings as (
    select
        vehicle_id, source, observed_at, odometer_km, energy_used_total_kwh, at_site_id,
        lag(observed_at) over by_time as previous_at,
        odometer_km - lag(odometer_km) over by_time as moved_km,
        lag(energy_used_total_kwh) over by_time as previous_energy_used_total_kwh,
        lag(at_site_id) over by_time as previous_site_id,
        lead(observed_at) over by_time is null as is_newest
    from {{ ref('stg_vehicle_snapshot') }}
    where odometer_km is not null
    window by_time as (partition by vehicle_id, source order by observed_at)
),

-- Less than 0.1 km is an odometer's resolution, or shunting in the depot. A drive within a long silent interval is laid
-- to its end, at an assumed speed: it cannot have begun before the reading that saw the vehicle stand.
moves as (
    select
        *,
        moved_km >= 0.1 as is_moving,
        greatest(
            previous_at, {{ add_minutes('observed_at', '-60.0 * moved_km / ' ~ var('assumed_speed_kmh')) }}
        ) as earliest_at
    from readings
),

-- The same drive goes on while the readings keep moving; a quarter-hour of rest between two makes another one.
marked as (
    select
        *,
        case
            when not is_moving then 0
            when not coalesce(lag(is_moving) over by_time, false) then 1
            when {{ minutes_between('previous_at', 'earliest_at') }} > 15 then 1
            else 0
        end as begins_trip
    from moves
    window by_time as (partition by vehicle_id, source order by observed_at)
),

numbered as (
    select
        *,
        sum(begins_trip) over (
            partition by vehicle_id, source order by observed_at rows between unbounded preceding and current row
        ) as trip_number
    from marked
)

-- A vehicle that moved in its newest reading, and is at no depot, may still be driving.
select
    vehicle_id,
    source,
    min(earliest_at) as started_at,
    case
        when bool_or(is_newest) and {{ value_at_last('at_site_id', 'observed_at') }} is null then null
        else max(observed_at)
    end as ended_at,
    {{ exact_sum('moved_km') }} as distance_km,
    {{ value_at_last('energy_used_total_kwh', 'observed_at') }}
    - {{ value_at_first('previous_energy_used_total_kwh', 'observed_at') }} as energy_kwh,
    {{ value_at_first('previous_site_id', 'observed_at') }} as start_site_id,
    {{ value_at_last('at_site_id', 'observed_at') }} as end_site_id
from numbered
where is_moving
group by vehicle_id, source, trip_number
