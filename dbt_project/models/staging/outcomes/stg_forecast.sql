{{ latest_version(
    source('raw', 'forecast'),
    key=['site_id', 'target', 'subject_id', 'predicted_at'],
    columns=[
        'vehicle_id', 'unit', 'point', 'q025', 'q05', 'q10', 'q25', 'q50', 'q75', 'q90', 'q95', 'q975', 'name',
        'model_version', 'rung', 'newest_input_at',
    ],
) }}
