{{ latest_version(
    source('raw', 'quarantined_row'),
    key=['entity', 'record_ref', 'reason'],
    columns=[
        'detail', 'record_json', 'is_restricted',
    ],
) }}
