-- Only slots that a plan in force covers: before the first plan there is nothing to adhere to.
with slots as (
    select site_id, slot_start_at, plan_id from {{ ref('int_plan_slots__in_force') }}
),

planned as (
    select slots.site_id, slots.slot_start_at, slots.plan_id, intervals.vehicle_id, intervals.power_kw / 4 as planned_kwh
    from slots
    inner join
        ({{ latest_of_sources(ref('stg_plan_interval'), key=['plan_id', 'vehicle_id', 'start_at']) }}) as intervals
        on slots.plan_id = intervals.plan_id and slots.slot_start_at = intervals.start_at
),

delivered as (
    select
        slots.site_id, slots.slot_start_at, slots.plan_id, intervals.vehicle_id,
        case when bool_or(intervals.is_incomplete) then null else {{ exact_sum('intervals.energy_kwh') }} end as delivered_kwh
    from slots
    inner join {{ ref('int_charging_intervals__spread') }} as intervals
        on slots.site_id = intervals.site_id and slots.slot_start_at = intervals.slot_start_at
    where intervals.vehicle_id is not null
    group by slots.site_id, slots.slot_start_at, slots.plan_id, intervals.vehicle_id
),

observed as (
    select site_id, min(span_start_at) as observed_from_at, max(span_end_at) as observed_until_at
    from {{ ref('int_charging_spans__metered') }}
    where site_id is not null
    group by site_id
),

pairs as (
    select
        coalesce(planned.site_id, delivered.site_id) as site_id,
        coalesce(planned.vehicle_id, delivered.vehicle_id) as vehicle_id,
        coalesce(planned.slot_start_at, delivered.slot_start_at) as slot_start_at,
        coalesce(planned.plan_id, delivered.plan_id) as plan_id,
        coalesce(planned.planned_kwh, 0) as planned_kwh,
        delivered.vehicle_id is not null as is_delivery_known,
        delivered.delivered_kwh
    from planned
    full outer join delivered
        on
            planned.site_id = delivered.site_id
            and planned.slot_start_at = delivered.slot_start_at
            and planned.vehicle_id = delivered.vehicle_id
),

known as (
    select
        pairs.site_id, pairs.vehicle_id, pairs.slot_start_at, pairs.plan_id, pairs.planned_kwh,
        -- No session while the site's chargers spoke: nothing was delivered. Later than that, nobody knows yet.
        case
            when pairs.is_delivery_known then pairs.delivered_kwh
            when
                pairs.slot_start_at >= observed.observed_from_at
                and pairs.slot_start_at < observed.observed_until_at
                then 0
        end as delivered_kwh
    from pairs
    left join observed on pairs.site_id = observed.site_id
)

select
    site_id, vehicle_id, slot_start_at, {{ add_minutes('slot_start_at', 15) }} as slot_end_at, plan_id, planned_kwh,
    delivered_kwh, delivered_kwh - planned_kwh as deviation_kwh
from known
