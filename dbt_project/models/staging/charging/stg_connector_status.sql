{{ latest_version(source('raw', 'connector_status'), key=['station_id', 'connector_id', 'observed_at']) }}
