{{ latest_version(source('raw', 'meter_value'), key=['station_id', 'connector_id', 'observed_at']) }}
