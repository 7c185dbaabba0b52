-- Per site and quarter-hour: the plan in force at its start, the import limit that the plan obeyed, and what it gave
-- to all vehicles together. A slot that a plan covers and gives nothing is a planned 0, not an unknown.
with limits as (
    select
        plan_id,
        {{ json_number_elements('problem_json', '$.grid_limit_kw') }} as import_limit_kw,
        {{ json_number_indices('problem_json', '$.grid_limit_kw') }} as slot
    from ({{ latest_of_sources(ref('stg_plan'), key=['plan_id']) }}) as plans
),

slots as (
    select
        plans.plan_id, plans.site_id, plans.as_of, limits.import_limit_kw,
        {{ add_minutes('plans.start_at', 'limits.slot * plans.slot_minutes') }} as slot_start_at,
        plans.superseded_at
    from {{ ref('int_plans__in_force') }} as plans
    inner join limits on plans.plan_id = limits.plan_id
),

in_force as (
    select *
    from slots
    where slot_start_at >= as_of and (superseded_at is null or slot_start_at < superseded_at)
),

-- Plans of one as_of, or slots that two plans share at their seam: the later plan holds.
single as (
    select *
    from (
        select *, row_number() over (partition by site_id, slot_start_at order by as_of desc, plan_id desc) as plan_rank
        from in_force
    ) as ranked
    where plan_rank = 1
),

powers as (
    select plan_id, start_at as slot_start_at, {{ exact_sum('power_kw') }} as planned_kw
    from ({{ latest_of_sources(ref('stg_plan_interval'), key=['plan_id', 'vehicle_id', 'start_at']) }}) as intervals
    group by plan_id, start_at
)

select
    single.site_id, single.slot_start_at, single.plan_id, single.as_of, single.import_limit_kw,
    coalesce(powers.planned_kw, 0) as planned_kw
from single
left join powers on single.plan_id = powers.plan_id and single.slot_start_at = powers.slot_start_at
