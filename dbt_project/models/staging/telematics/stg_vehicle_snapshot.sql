{{ latest_version(
    source('raw', 'vehicle_snapshot'),
    key=['vehicle_id', 'observed_at'],
    columns=[
        'soc_pct', 'soc_basis', 'odometer_km', 'energy_used_total_kwh', 'is_plugged', 'charging_state',
        'charging_power_kw', 'speed_kmh', 'ambient_temperature_c', 'range_km', 'at_site_id',
        'has_red_battery_telltale', 'trigger',
    ],
) }}
