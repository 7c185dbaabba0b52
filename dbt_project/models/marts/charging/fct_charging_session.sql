select
    sessions.session_id, sessions.station_id, sessions.connector_id, sessions.transaction_id, sessions.site_id,
    coalesce(sites.timezone, '{{ var("default_timezone") }}') as timezone,
    sites.timezone is null as is_timezone_assumed,
    {{ local_date('sessions.started_at', "coalesce(sites.timezone, '" ~ var('default_timezone') ~ "')") }}
        as started_date,
    sessions.started_at, sessions.charging_ended_at, sessions.ended_at,
    {{ minutes_between('sessions.started_at', 'sessions.ended_at') }} as duration_min,
    sessions.idle_min, sessions.idle_basis, sessions.energy_kwh, sessions.energy_basis, sessions.metering_point,
    sessions.other_sources, sessions.max_difference_kwh, sessions.peak_kw, sessions.soc_start_pct,
    sessions.soc_end_pct, sessions.vehicle_id, sessions.match_confidence, sessions.match_method, sessions.token,
    sessions.user_id, sessions.requested_kwh, sessions.stated_departure_at, sessions.price_total, sessions.currency,
    sessions.stop_reason, sessions.is_estimated, sessions.source
from {{ ref('int_sessions__matched') }} as sessions
left join {{ ref('int_sites__current') }} as sites on sessions.site_id = sites.site_id
