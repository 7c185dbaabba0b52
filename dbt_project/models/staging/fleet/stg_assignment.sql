{{ latest_version(
    source('raw', 'assignment'),
    key=['vehicle_id', 'valid_from_at'],
    columns=[
        'driver_id', 'block_id', 'token', 'valid_to_at',
    ],
) }}
