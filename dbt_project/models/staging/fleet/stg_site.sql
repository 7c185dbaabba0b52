{{ latest_version(source('raw', 'site'), key=['site_id']) }}
