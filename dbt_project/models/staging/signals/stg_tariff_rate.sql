{{ latest_version(
    source('raw', 'tariff_rate'),
    key=['tariff_id', 'schedule_id', 'start_minute'],
    columns=[
        'effective_date', 'season_start', 'season_end', 'days', 'end_minute', 'price_per_kwh',
        'demand_price_per_kw', 'currency',
    ],
) }}
