{{ latest_version(
    source('raw', 'connector'),
    key=['station_id', 'connector_id'],
    columns=[
        'site_id', 'evse_id', 'group_id', 'current_type', 'phases', 'nominal_voltage_v', 'max_kw', 'min_kw',
        'fallback_kw',
    ],
) }}
