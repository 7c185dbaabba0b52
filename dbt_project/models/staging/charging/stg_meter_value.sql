{{ latest_version(
    source('raw', 'meter_value'),
    key=['station_id', 'connector_id', 'observed_at'],
    columns=[
        'transaction_id', 'energy_register_kwh', 'power_kw', 'offered_kw', 'soc_pct',
    ],
) }}
