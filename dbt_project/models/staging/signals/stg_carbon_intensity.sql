{{ latest_version(source('raw', 'carbon_intensity'), key=['region_id', 'start_at', 'issued_at']) }}
