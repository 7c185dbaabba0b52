-- Which plan a site followed when: a plan is in force from its as_of until the next plan of the site.
with plans as (
    {{ latest_of_sources(ref('stg_plan'), key=['plan_id']) }}
)

select
    plan_id, site_id, as_of,
    lead(as_of) over (partition by site_id order by as_of, plan_id) as superseded_at,
    start_at,
    {{ add_minutes('start_at', 'slots * coalesce(' ~ json_number('problem_json', '$.slot_minutes') ~ ', 15)') }} as end_at,
    coalesce({{ json_number('problem_json', '$.slot_minutes') }}, 15) as slot_minutes,
    slots, cost_total, currency, peak_kw, ready_vehicles, short_vehicles, trigger
from plans
