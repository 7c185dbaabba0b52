select
    vehicle_id, started_at, ended_at, operating_date, timezone, is_timezone_assumed, duty_started_at,
    {{ minutes_between('started_at', 'ended_at') }} as duration_min,
    distance_km, energy_kwh, energy_basis, soc_start_pct, soc_end_pct, start_site_id, end_site_id, route_id,
    trip_basis, source
from {{ ref('int_trips__grouped') }}
