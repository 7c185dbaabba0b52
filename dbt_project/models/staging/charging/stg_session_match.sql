{{ latest_version(
    source('raw', 'session_match'),
    key=['station_id', 'connector_id', 'transaction_id', 'started_at'],
    columns=[
        'vehicle_id', 'confidence', 'method',
    ],
) }}
