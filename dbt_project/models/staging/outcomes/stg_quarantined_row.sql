{{ latest_version(source('raw', 'quarantined_row'), key=['entity', 'record_ref', 'reason']) }}
