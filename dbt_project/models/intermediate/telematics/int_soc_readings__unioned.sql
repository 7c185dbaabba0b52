-- Everything that anybody measured of a vehicle's SoC, one reading per instant: its own word before a trip's, before
-- the charger's. What a charger says of a session's ends counts where it took no samples between.
with readings as (
    select vehicle_id, observed_at, soc_pct, 'snapshot' as origin, 1 as origin_rank
    from {{ ref('stg_vehicle_snapshot') }}
    union all
    select vehicle_id, started_at, soc_start_pct, 'trip', 2 from {{ ref('int_trips__reconciled') }}
    union all
    select vehicle_id, ended_at, soc_end_pct, 'trip', 3 from {{ ref('int_trips__reconciled') }}
    union all
    select sessions.vehicle_id, samples.observed_at, samples.soc_pct, 'charger', 4
    from {{ ref('int_meter_values__attributed') }} as samples
    inner join {{ ref('int_sessions__matched') }} as sessions on samples.session_id = sessions.session_id
    union all
    select vehicle_id, started_at, soc_start_pct, 'charger', 5
    from {{ ref('int_sessions__matched') }}
    where meter_samples = 0
    union all
    select vehicle_id, ended_at, soc_end_pct, 'charger', 6
    from {{ ref('int_sessions__matched') }}
    where meter_samples = 0
)

select vehicle_id, observed_at, soc_pct, origin
from (
    select
        *,
        row_number() over (partition by vehicle_id, observed_at order by origin_rank, soc_pct) as reading_rank
    from readings
    where vehicle_id is not null and observed_at is not null and soc_pct is not null
) as ranked
where reading_rank = 1
