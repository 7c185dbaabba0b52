{{ latest_version(
    source('raw', 'weather'),
    key=['place_id', 'start_at', 'issued_at'],
    columns=[
        'end_at', 'temperature_c',
    ],
) }}
