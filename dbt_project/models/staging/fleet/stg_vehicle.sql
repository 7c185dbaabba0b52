{{ latest_version(
    source('raw', 'vehicle'),
    key=['vehicle_id'],
    columns=[
        'vin', 'site_id', 'model', 'vehicle_class', 'usable_kwh', 'soh_pct', 'ac_max_kw', 'dc_max_kw', 'phases',
        'taper_power_kw', 'taper_knee_soc_pct', 'taper_end_fraction', 'efficiency', 'reference_kwh_per_km', 'token',
    ],
) }}
