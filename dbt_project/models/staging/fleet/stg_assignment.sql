{{ latest_version(source('raw', 'assignment'), key=['vehicle_id', 'valid_from_at']) }}
