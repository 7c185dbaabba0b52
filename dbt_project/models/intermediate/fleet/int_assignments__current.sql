-- An open assignment ends where the vehicle's next one begins.
select
    vehicle_id, driver_id, block_id, token, valid_from_at,
    least(valid_to_at, lead(valid_from_at) over (partition by vehicle_id order by valid_from_at)) as valid_to_at,
    source
from ({{ latest_of_sources(ref('stg_assignment'), key=['vehicle_id', 'valid_from_at']) }}) as assignments
