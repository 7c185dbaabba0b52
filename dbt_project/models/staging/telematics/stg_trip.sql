{{ latest_version(
    source('raw', 'trip'),
    key=['vehicle_id', 'started_at'],
    columns=[
        'ended_at', 'distance_km', 'energy_kwh', 'soc_start_pct', 'soc_end_pct', 'start_site_id', 'end_site_id',
        'route_id', 'is_deleted', 'provider_ref',
    ],
) }}
