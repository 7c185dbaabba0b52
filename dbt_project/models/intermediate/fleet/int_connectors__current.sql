with connectors as (
    {{ latest_of_sources(ref('stg_connector'), key=['station_id', 'connector_id']) }}
)

select
    connectors.station_id, connectors.connector_id, connectors.site_id, sites.timezone, connectors.evse_id,
    connectors.group_id, connectors.current_type, connectors.phases, connectors.nominal_voltage_v, connectors.max_kw,
    connectors.min_kw, connectors.fallback_kw, connectors.source
from connectors
left join {{ ref('int_sites__current') }} as sites on connectors.site_id = sites.site_id
