-- Adds the vehicle: a person's word, else the scored match, else the vehicle that the source itself names. With the
-- vehicle known, a change of SoC can stand in for energy that nobody metered.
with matches as (
    select *
    from (
        select
            *,
            row_number() over (
                partition by station_id, connector_id, transaction_id, started_at
                order by case method when 'manual' then 0 else 1 end, available_at desc, ingested_at desc, source
            ) as match_rank
        from {{ ref('stg_session_match') }}
    ) as ranked
    where match_rank = 1
),

matched as (
    select
        sessions.*,
        case when matches.station_id is null then sessions.vehicle_id else matches.vehicle_id end as matched_vehicle_id,
        case
            when matches.station_id is not null then matches.confidence
            when sessions.vehicle_id is not null then 1.0
        end as match_confidence,
        case
            when matches.station_id is not null then matches.method
            when sessions.vehicle_id is not null then 'vehicle_named'
        end as match_method
    from {{ ref('int_sessions__reconciled') }} as sessions
    left join matches
        on
            sessions.station_id = matches.station_id
            and sessions.connector_id = matches.connector_id
            and sessions.transaction_id = matches.transaction_id
            and sessions.started_at = matches.started_at
),

estimated as (
    select
        matched.*,
        case
            when matched.energy_kwh is null and matched.soc_end_pct >= matched.soc_start_pct
                then
                    (matched.soc_end_pct - matched.soc_start_pct) / 100 * vehicles.capacity_kwh
                    / coalesce(vehicles.efficiency, {{ var('default_efficiency') }})
        end as soc_kwh
    from matched
    left join {{ ref('int_vehicles__current') }} as vehicles on matched.matched_vehicle_id = vehicles.vehicle_id
)

select
    session_id, station_id, connector_id, transaction_id, started_at, ended_at,
    coalesce(charging_ended_at, last_flow_at) as charging_ended_at,
    site_id, matched_vehicle_id as vehicle_id, match_confidence, match_method,
    coalesce(energy_kwh, soc_kwh) as energy_kwh,
    case when soc_kwh is not null then 'soc_change' else energy_basis end as energy_basis,
    case when soc_kwh is not null then 'telematics_estimate' else metering_point end as metering_point,
    meter_start_kwh, meter_end_kwh, peak_kw, meter_samples, soc_start_pct, soc_end_pct, token, user_id,
    -- A flow that is said to end after the unplugging leaves no idle time; GREATEST alone would make 0 of an unknown.
    case
        when idle_min is not null then idle_min
        when coalesce(charging_ended_at, last_flow_at) is not null and ended_at is not null
            then greatest(0, {{ minutes_between('coalesce(charging_ended_at, last_flow_at)', 'ended_at') }})
    end as idle_min,
    case
        when idle_min is not null then 'source'
        when charging_ended_at is not null and ended_at is not null then 'charging_end'
        when last_flow_at is not null and ended_at is not null then 'meter_values'
    end as idle_basis,
    requested_kwh, stated_departure_at, price_total, currency, stop_reason, is_estimated, other_sources,
    max_difference_kwh, source
from estimated
