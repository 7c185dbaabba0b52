{{ latest_version(
    source('raw', 'source_contract'),
    key=['source_id'],
    columns=[
        'kind', 'owner', 'contact', 'freshness_min', 'latency_min', 'on_failure',
    ],
) }}
