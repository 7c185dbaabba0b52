{{ latest_version(
    source('raw', 'vehicle_position'),
    key=['vehicle_id', 'observed_at'],
    columns=[
        'latitude', 'longitude',
    ],
) }}
