{{ latest_version(
    source('raw', 'price'),
    key=['series_id', 'start_at'],
    columns=[
        'end_at', 'price_per_kwh', 'currency',
    ],
) }}
