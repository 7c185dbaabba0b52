{{ latest_version(
    source('raw', 'carbon_intensity'),
    key=['region_id', 'start_at', 'issued_at'],
    columns=[
        'end_at', 'emissions_gco2e_per_kwh', 'basis', 'kind',
    ],
) }}
