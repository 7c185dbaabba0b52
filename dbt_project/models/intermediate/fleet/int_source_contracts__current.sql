select source_id, kind, owner, contact, freshness_min, latency_min, on_failure, source
from ({{ latest_of_sources(ref('stg_source_contract'), key=['source_id']) }}) as contracts
