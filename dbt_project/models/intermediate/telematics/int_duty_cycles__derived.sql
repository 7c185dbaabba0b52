-- A duty as it was driven: from leaving until the vehicle rests.
select
    vehicle_id,
    duty_started_at as departed_at,
    case when bool_and(is_settled) then max(ended_at) end as returned_at,
    min(operating_date) as operating_date,
    {{ value_at_first('timezone', 'started_at') }} as timezone,
    {{ value_at_first('start_site_id', 'started_at') }} as start_site_id,
    {{ value_at_last('end_site_id', 'started_at') }} as end_site_id,
    count(*) as trips,
    {{ sum_if_complete('distance_km') }} as distance_km,
    {{ sum_if_complete('energy_kwh') }} as energy_kwh,
    {{ value_at_first('soc_start_pct', 'started_at') }} as soc_at_departure_pct,
    {{ value_at_last('soc_end_pct', 'started_at') }} as soc_at_return_pct
from {{ ref('int_trips__grouped') }}
group by vehicle_id, duty_started_at
