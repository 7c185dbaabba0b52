{{ latest_version(source('raw', 'charging_transaction'), key=['station_id', 'connector_id', 'transaction_id', 'started_at']) }}
