{{ latest_version(
    source('raw', 'plan_vehicle'),
    key=['plan_id', 'vehicle_id'],
    columns=[
        'site_id', 'station_id', 'connector_id', 'transaction_id', 'expected_arrival_at', 'requested_departure_at',
        'expected_soc_at_arrival_pct', 'min_target_soc_pct', 'predicted_departure_soc_pct', 'planned_energy_kwh',
        'shortfall_kwh', 'reason_code', 'reason_text', 'soc_rung', 'soc_source', 'soc_age_min',
    ],
) }}
