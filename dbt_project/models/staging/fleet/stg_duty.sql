{{ latest_version(
    source('raw', 'duty'),
    key=['block_id', 'operating_date', 'vehicle_id'],
    columns=[
        'site_id', 'planned_departure_at', 'planned_return_at', 'distance_km', 'route_id', 'min_target_soc_pct',
        'is_deleted',
    ],
) }}
