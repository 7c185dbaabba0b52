{{ latest_version(
    source('raw', 'plan'),
    key=['plan_id'],
    columns=[
        'site_id', 'as_of', 'start_at', 'slots', 'problem_json', 'plan_json', 'inputs_json', 'publication_json',
        'cost_total', 'currency', 'peak_kw', 'ready_vehicles', 'short_vehicles', 'trigger',
    ],
) }}
