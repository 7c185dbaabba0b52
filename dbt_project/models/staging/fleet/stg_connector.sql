{{ latest_version(source('raw', 'connector'), key=['station_id', 'connector_id']) }}
