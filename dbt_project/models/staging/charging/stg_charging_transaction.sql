{{ latest_version(
    source('raw', 'charging_transaction'),
    key=['station_id', 'connector_id', 'transaction_id', 'started_at'],
    columns=[
        'site_id', 'ended_at', 'charging_ended_at', 'energy_kwh', 'metering_point', 'meter_start_kwh',
        'meter_end_kwh', 'soc_start_pct', 'soc_end_pct', 'token', 'user_id', 'vehicle_id', 'idle_min',
        'requested_kwh', 'stated_departure_at', 'price_total', 'currency', 'stop_reason', 'is_estimated',
    ],
) }}
