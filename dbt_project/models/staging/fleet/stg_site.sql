{{ latest_version(
    source('raw', 'site'),
    key=['site_id'],
    columns=[
        'name', 'timezone', 'currency', 'latitude', 'longitude', 'geofence_radius_m', 'import_limit_kw',
        'price_zone', 'pv_kwp', 'battery_capacity_kwh', 'reserve_soc_pct',
    ],
) }}
