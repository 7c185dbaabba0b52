with plan_lines as (
    select
        lines.plan_id, lines.vehicle_id, plans.as_of, lines.requested_departure_at, lines.min_target_soc_pct,
        lines.predicted_departure_soc_pct, lines.shortfall_kwh, lines.reason_code
    from ({{ latest_of_sources(ref('stg_plan_vehicle'), key=['plan_id', 'vehicle_id']) }}) as lines
    inner join {{ ref('int_plans__in_force') }} as plans on lines.plan_id = plans.plan_id
),

-- The last plan before the pull-out that spoke of this departure; plans round departures to slots.
promised as (
    select *
    from (
        select
            departures.departure_id, plan_lines.plan_id, plan_lines.min_target_soc_pct,
            plan_lines.predicted_departure_soc_pct, plan_lines.shortfall_kwh, plan_lines.reason_code,
            row_number() over (
                partition by departures.departure_id order by plan_lines.as_of desc, plan_lines.plan_id desc
            ) as plan_rank
        from {{ ref('int_departures__evidenced') }} as departures
        inner join plan_lines
            on
                departures.vehicle_id = plan_lines.vehicle_id
                and plan_lines.as_of <= departures.pull_out_at
                and abs({{ minutes_between(
                    'plan_lines.requested_departure_at', 'departures.planned_departure_at'
                ) }}) <= 60
    ) as ranked
    where plan_rank = 1
),

required as (
    select
        departures.*,
        promised.plan_id,
        coalesce(promised.min_target_soc_pct, departures.min_target_soc_pct) as required_soc_pct,
        case
            when promised.min_target_soc_pct is not null then 'plan'
            when departures.min_target_soc_pct is not null then 'duty'
        end as required_basis,
        promised.predicted_departure_soc_pct as forecast_soc_pct,
        promised.shortfall_kwh as planned_shortfall_kwh,
        promised.reason_code as plan_reason_code,
        {{ minutes_between('departures.planned_departure_at', 'departures.departed_at') }} as delay_min
    from {{ ref('int_departures__evidenced') }} as departures
    left join promised on departures.departure_id = promised.departure_id
),

judged as (
    select
        *,
        case
            when not is_due then null
            when soc_pct >= required_soc_pct - {{ var('readiness_tolerance_pct') }} then 'ready'
            when not was_plugged_in then 'not_plugged'
            when soc_pct is null or required_soc_pct is null then 'unknown'
            else 'not_ready'
        end as readiness
    from required
)

select
    departure_id, block_id, operating_date, vehicle_id, site_id, timezone, route_id, planned_departure_at, departed_at,
    delay_min, arrived_at, is_due, required_soc_pct, required_basis, forecast_soc_pct, soc_pct as actual_soc_pct,
    soc_rung, soc_origin, soc_observed_at, soc_age_min, added_soc_pct, was_plugged_in, readiness,
    case
        when readiness is null or readiness = 'ready' then null
        when readiness = 'not_plugged' then 'never_plugged_in'
        when readiness = 'unknown' and required_soc_pct is null then 'no_target'
        when readiness = 'unknown' then 'no_soc_evidence'
        when planned_shortfall_kwh > 0 then 'planned_short'
        when delay_min < -15 then 'left_early'
        when plan_id is null then 'no_plan'
        else 'delivered_less'
    end as cause,
    plan_id, plan_reason_code, planned_shortfall_kwh, source
from judged
