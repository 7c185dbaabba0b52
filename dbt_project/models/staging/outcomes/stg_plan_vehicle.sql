{{ latest_version(source('raw', 'plan_vehicle'), key=['plan_id', 'vehicle_id']) }}
