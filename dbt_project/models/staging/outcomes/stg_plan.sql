{{ latest_version(source('raw', 'plan'), key=['plan_id']) }}
