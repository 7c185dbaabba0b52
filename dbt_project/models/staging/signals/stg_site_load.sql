{{ latest_version(
    source('raw', 'site_load'),
    key=['site_id', 'start_at'],
    columns=[
        'end_at', 'base_load_kw', 'pv_kw',
    ],
) }}
