{{ latest_version(source('raw', 'vehicle'), key=['vehicle_id']) }}
