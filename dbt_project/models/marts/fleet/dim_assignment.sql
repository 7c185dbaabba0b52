select vehicle_id, driver_id, block_id, token, valid_from_at, valid_to_at, source
from {{ ref('int_assignments__current') }}
