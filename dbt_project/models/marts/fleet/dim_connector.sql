select
    station_id, connector_id, site_id, timezone, evse_id, group_id, current_type, phases, nominal_voltage_v, max_kw,
    min_kw, fallback_kw, source
from {{ ref('int_connectors__current') }}
