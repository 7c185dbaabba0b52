{{ latest_version(source('raw', 'forecast'), key=['site_id', 'target', 'subject_id', 'predicted_at']) }}
