{{ latest_version(source('raw', 'site_load'), key=['site_id', 'start_at']) }}
