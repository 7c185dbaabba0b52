{{ latest_version(
    source('raw', 'station_link'),
    key=['station_id', 'observed_at'],
    columns=[
        'is_connected',
    ],
) }}
