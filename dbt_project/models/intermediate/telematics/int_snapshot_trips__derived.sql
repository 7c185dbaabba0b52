-- Drives seen only as a rising odometer, for vehicles whose provider reports states but no trips.
with readings as (
    select
        vehicle_id, source, observed_at, odometer_km, energy_used_total_kwh, soc_pct, at_site_id,
        lag(observed_at) over by_time as previous_at,
        odometer_km - lag(odometer_km) over by_time as moved_km,
        lag(energy_used_total_kwh) over by_time as previous_energy_used_total_kwh,
        lag(soc_pct) over by_time as previous_soc_pct,
        lag(at_site_id) over by_time as previous_site_id,
        lead(observed_at) over by_time as next_at
    from {{ ref('stg_vehicle_snapshot') }}
    where odometer_km is not null
    window by_time as (partition by vehicle_id, source order by observed_at)
),

-- Less than 0.1 km is an odometer's resolution, or shunting in the depot.
marked as (
    select
        *,
        case when moved_km >= 0.1 then 1 else 0 end as is_moving,
        lag(case when moved_km >= 0.1 then 1 else 0 end, 1, 0) over (
            partition by vehicle_id, source order by observed_at
        ) as was_moving
    from readings
),

numbered as (
    select
        *,
        sum(case when is_moving = 1 and was_moving = 0 then 1 else 0 end) over (
            partition by vehicle_id, source order by observed_at rows between unbounded preceding and current row
        ) as trip_number
    from marked
),

-- Of a long silent interval only its end is taken, at an assumed speed: the drive cannot have been longer ago.
located as (
    select
        *,
        greatest(
            previous_at,
            {{ add_minutes('observed_at', '-60.0 * moved_km / ' ~ var('assumed_speed_kmh')) }}
        ) as earliest_at
    from numbered
    where is_moving = 1
)

select
    vehicle_id,
    source,
    min(earliest_at) as started_at,
    case
        when {{ value_at_last('next_at', 'observed_at') }} is null and {{ value_at_last('at_site_id', 'observed_at') }} is null then null
        else max(observed_at)
    end as ended_at,
    sum(moved_km) as distance_km,
    {{ value_at_last('energy_used_total_kwh', 'observed_at') }} - {{ value_at_first('previous_energy_used_total_kwh', 'observed_at') }} as energy_kwh,
    {{ value_at_first('previous_soc_pct', 'observed_at') }} as soc_start_pct,
    {{ value_at_last('soc_pct', 'observed_at') }} as soc_end_pct,
    {{ value_at_first('previous_site_id', 'observed_at') }} as start_site_id,
    {{ value_at_last('at_site_id', 'observed_at') }} as end_site_id
from located
group by vehicle_id, source, trip_number
