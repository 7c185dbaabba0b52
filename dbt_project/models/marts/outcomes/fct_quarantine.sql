select
    source, entity, reason, cast(observed_at as date) as observed_date,
    count(*) as records,
    count(case when is_restricted then 1 end) as restricted_records
from {{ ref('stg_quarantined_row') }}
group by source, entity, reason, cast(observed_at as date)
