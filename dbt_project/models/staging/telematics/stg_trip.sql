{{ latest_version(source('raw', 'trip'), key=['vehicle_id', 'started_at']) }}
