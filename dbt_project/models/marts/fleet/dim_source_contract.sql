select source_id, kind, owner, contact, freshness_min, latency_min, on_failure, source
from {{ ref('int_source_contracts__current') }}
