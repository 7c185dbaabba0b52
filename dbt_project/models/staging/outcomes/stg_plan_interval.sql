{{ latest_version(
    source('raw', 'plan_interval'),
    key=['plan_id', 'vehicle_id', 'start_at'],
    columns=[
        'site_id', 'end_at', 'power_kw',
    ],
) }}
