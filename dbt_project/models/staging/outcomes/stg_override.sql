{{ latest_version(
    source('raw', 'override'),
    key=['override_id'],
    columns=[
        'site_id', 'vehicle_id', 'station_id', 'connector_id', 'kind', 'departure_at',
        'target_soc_pct', 'valid_from_at', 'valid_until_at', 'reason', 'decided_by',
        'is_cancelled',
    ],
) }}
