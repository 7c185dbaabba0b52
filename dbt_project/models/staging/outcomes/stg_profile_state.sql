{{ latest_version(
    source('raw', 'profile_state'),
    key=['plan_id', 'station_id', 'connector_id', 'observed_at'],
    columns=[
        'site_id', 'state', 'evidence', 'detail',
    ],
) }}
