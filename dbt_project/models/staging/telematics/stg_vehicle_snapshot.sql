{{ latest_version(source('raw', 'vehicle_snapshot'), key=['vehicle_id', 'observed_at']) }}
