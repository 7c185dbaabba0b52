-- Energy between consecutive evidence of a session: its registers at start and end and the samples between. A session
-- without samples is one span from its start to the end of charging, and marked as estimated; without an end, too, it
-- is a span of unknown energy until the next session, for a day at most.
with sessions as (
    select
        *,
        -- LEAST passes over NULL: the end of charging if known, but never after the unplugging.
        least(charging_ended_at, ended_at) as flow_ended_at,
        least(
            lead(started_at) over (partition by station_id, connector_id order by started_at),
            {{ add_minutes('started_at', 1440) }}
        ) as latest_end_at
    from {{ ref('int_sessions__matched') }}
),

evidence as (
    select session_id, started_at as happened_at, meter_start_kwh as register_kwh, cast(null as double) as power_kw
    from sessions
    where meter_samples > 0
    union all
    select session_id, observed_at, energy_register_kwh, power_kw
    from {{ ref('int_meter_values__attributed') }}
    where energy_register_kwh is not null or power_kw is not null
    union all
    select session_id, ended_at, meter_end_kwh, cast(null as double)
    from sessions
    where meter_samples > 0 and ended_at is not null and meter_end_kwh is not null
),

-- Two facts of one instant (the last sample and the end) are one.
instants as (
    select session_id, happened_at, max(register_kwh) as register_kwh, max(power_kw) as power_kw
    from evidence
    group by session_id, happened_at
),

steps as (
    select
        session_id, happened_at,
        lag(happened_at) over by_time as previous_at,
        power_kw,
        lag(power_kw) over by_time as previous_power_kw,
        register_kwh - lag(register_kwh) over by_time as register_step_kwh
    from instants
    window by_time as (partition by session_id order by happened_at)
),

-- Without registers, the mean of the powers at both ends over the time between.
metered as (
    select
        session_id,
        previous_at as span_start_at,
        happened_at as span_end_at,
        case
            when register_step_kwh >= 0 then register_step_kwh
            else
                (coalesce(previous_power_kw, power_kw) + coalesce(power_kw, previous_power_kw)) / 2
                * {{ minutes_between('previous_at', 'happened_at') }} / 60
        end as energy_kwh,
        false as is_estimated
    from steps
    where previous_at is not null
),

spread as (
    select
        session_id,
        started_at as span_start_at,
        coalesce(flow_ended_at, latest_end_at) as span_end_at,
        case when flow_ended_at is not null then energy_kwh end as energy_kwh,
        true as is_estimated
    from sessions
    where meter_samples = 0 and coalesce(flow_ended_at, latest_end_at) > started_at
),

spans as (
    select * from metered
    union all
    select * from spread
)

select
    spans.session_id, sessions.site_id, sessions.vehicle_id, sessions.metering_point,
    spans.span_start_at, spans.span_end_at, spans.energy_kwh, spans.is_estimated
from spans
inner join sessions on spans.session_id = sessions.session_id
