-- Only trips with both a distance and an energy count, in the numerator as in the denominator.
with days as (
    select
        vehicle_id, operating_date,
        count(*) as trips,
        {{ exact_sum('distance_km') }} as distance_km,
        {{ exact_sum('energy_kwh') }} as energy_kwh,
        min(energy_basis) as energy_basis,
        count(distinct energy_basis) as energy_bases,
        min(source) as source
    from {{ ref('int_trips__grouped') }}
    where distance_km is not null and energy_kwh is not null
    group by vehicle_id, operating_date
),

-- The factor table as segments, so that a temperature between two rows is interpolated.
segments as (
    select
        temperature_c as from_c, light_factor as light_from, heavy_factor as heavy_from,
        lead(temperature_c) over (order by temperature_c) as to_c,
        lead(light_factor) over (order by temperature_c) as light_to,
        lead(heavy_factor) over (order by temperature_c) as heavy_to
    from {{ ref('temperature_factor') }}
),

tempered as (
    select
        days.*,
        vehicles.reference_kwh_per_km,
        temperatures.temperature_c,
        temperatures.temperature_basis,
        -- Beyond its ends the table is continued flat.
        least(35, greatest(-20, temperatures.temperature_c)) as table_c,
        coalesce(vehicles.vehicle_class in ('truck', 'bus'), false) as is_heavy
    from days
    left join {{ ref('int_duty_days__tempered') }} as temperatures
        on days.vehicle_id = temperatures.vehicle_id and days.operating_date = temperatures.operating_date
    left join {{ ref('int_vehicles__current') }} as vehicles on days.vehicle_id = vehicles.vehicle_id
),

factored as (
    select
        tempered.*,
        case
            when tempered.temperature_c is null then null
            when tempered.is_heavy
                then
                    segments.heavy_from
                    + (segments.heavy_to - segments.heavy_from)
                    * (tempered.table_c - segments.from_c) / (segments.to_c - segments.from_c)
            else
                segments.light_from
                + (segments.light_to - segments.light_from)
                * (tempered.table_c - segments.from_c) / (segments.to_c - segments.from_c)
        end as temperature_factor,
        case when tempered.distance_km >= 1 then tempered.energy_kwh / tempered.distance_km end as kwh_per_km
    from tempered
    left join segments
        on
            tempered.temperature_c is not null
            and tempered.table_c >= segments.from_c
            and (tempered.table_c < segments.to_c or (segments.to_c = 35 and tempered.table_c = 35))
)

select
    vehicle_id, operating_date, trips, distance_km, energy_kwh,
    case when energy_bases = 1 then energy_basis else 'mixed' end as energy_basis,
    kwh_per_km, temperature_c, temperature_basis, temperature_factor,
    kwh_per_km / temperature_factor as kwh_per_km_at_20c,
    reference_kwh_per_km,
    kwh_per_km / temperature_factor / nullif(reference_kwh_per_km, 0) as ratio_to_reference,
    source
from factored
