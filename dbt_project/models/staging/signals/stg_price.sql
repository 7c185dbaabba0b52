{{ latest_version(source('raw', 'price'), key=['series_id', 'start_at']) }}
