{{ latest_version(
    source('raw', 'connector_status'),
    key=['station_id', 'connector_id', 'observed_at'],
    columns=[
        'status', 'error_code',
    ],
) }}
