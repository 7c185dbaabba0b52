{{ latest_version(source('raw', 'duty'), key=['block_id', 'operating_date', 'vehicle_id']) }}
