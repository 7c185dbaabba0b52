{{ latest_version(source('raw', 'source_contract'), key=['source_id']) }}
