with charging as (
    select
        site_id, slot_start_at,
        case when bool_or(is_incomplete) then null else {{ exact_sum('energy_kwh') }} * 4 end as charging_power_kw,
        count(*) as charging_sessions,
        bool_or(is_estimated) as is_charging_estimated
    from {{ ref('int_charging_intervals__spread') }}
    where site_id is not null
    group by site_id, slot_start_at
),

-- Between its first and last sign of life a site without a session draws nothing for vehicles; outside, nobody knows.
observed as (
    select site_id, min(span_start_at) as observed_from_at, max(span_end_at) as observed_until_at
    from {{ ref('int_charging_spans__metered') }}
    where site_id is not null
    group by site_id
),

load_parts as (
    select *, {{ slot_starts('start_at', 'end_at') }} as slot_start_at
    from ({{ latest_of_sources(ref('stg_site_load'), key=['site_id', 'start_at']) }}) as loads
    where end_at > start_at
),

load_weights as (
    select
        site_id, slot_start_at, base_load_kw, pv_kw,
        {{ overlap_minutes('start_at', 'end_at', 'slot_start_at', add_minutes('slot_start_at', 15)) }} as weight_min
    from load_parts
),

loads as (
    select
        site_id, slot_start_at,
        {{ weighted_mean('base_load_kw', 'weight_min') }} as base_load_kw,
        {{ weighted_mean('pv_kw', 'weight_min') }} as pv_kw
    from load_weights
    group by site_id, slot_start_at
),

price_parts as (
    select
        series_id, start_at, price_per_kwh, currency,
        {{ slot_starts('start_at', 'end_at') }} as slot_start_at
    from ({{ latest_of_sources(ref('stg_price'), key=['series_id', 'start_at']) }}) as prices
    where
        end_at > start_at
        and series_id in (select price_zone from {{ ref('int_sites__current') }} where price_zone is not null)
),

-- Where two intervals of a series touch one slot, the one that starts later says what holds.
prices as (
    select series_id, slot_start_at, price_per_kwh, currency
    from (
        select
            *, row_number() over (partition by series_id, slot_start_at order by start_at desc) as price_rank
        from price_parts
    ) as ranked
    where price_rank = 1
),

slots as (
    select site_id, slot_start_at from charging
    union
    select site_id, slot_start_at from loads
    union
    select site_id, slot_start_at from {{ ref('int_plan_slots__in_force') }}
),

joined as (
    select
        slots.site_id, slots.slot_start_at, sites.timezone,
        loads.base_load_kw,
        coalesce(loads.pv_kw, case when sites.pv_kwp = 0 then 0 end) as pv_kw,
        case
            when charging.site_id is not null then charging.charging_power_kw
            when
                slots.slot_start_at >= observed.observed_from_at
                and slots.slot_start_at < observed.observed_until_at
                then 0
        end as charging_power_kw,
        coalesce(charging.charging_sessions, 0) as charging_sessions,
        charging.is_charging_estimated,
        plans.plan_id, plans.planned_kw,
        coalesce(plans.import_limit_kw, sites.import_limit_kw) as import_limit_kw,
        prices.price_per_kwh, prices.currency
    from slots
    left join charging on slots.site_id = charging.site_id and slots.slot_start_at = charging.slot_start_at
    left join loads on slots.site_id = loads.site_id and slots.slot_start_at = loads.slot_start_at
    left join observed on slots.site_id = observed.site_id
    left join {{ ref('int_sites__current') }} as sites on slots.site_id = sites.site_id
    left join {{ ref('int_plan_slots__in_force') }} as plans
        on slots.site_id = plans.site_id and slots.slot_start_at = plans.slot_start_at
    left join prices on sites.price_zone = prices.series_id and slots.slot_start_at = prices.slot_start_at
)

select
    site_id, slot_start_at, {{ add_minutes('slot_start_at', 15) }} as slot_end_at, timezone, base_load_kw, pv_kw,
    charging_power_kw, charging_sessions, is_charging_estimated,
    base_load_kw + charging_power_kw - pv_kw as net_load_kw,
    import_limit_kw, price_per_kwh, currency, plan_id, planned_kw
from joined
