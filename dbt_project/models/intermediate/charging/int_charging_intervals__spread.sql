-- Energy of a session per quarter-hour: a span's energy is spread evenly over its time.
with spans as (
    select
        *,
        {{ slot_start('span_start_at') }} as first_slot_at,
        {{ add_minutes(slot_start('span_start_at'), 15) }} as first_slot_ends_at
    from {{ ref('int_charging_spans__metered') }}
),

crossing as (
    select *, {{ slot_starts('span_start_at', 'span_end_at') }} as slot_start_at
    from spans
    where span_end_at > first_slot_ends_at
),

parts as (
    select session_id, site_id, vehicle_id, first_slot_at as slot_start_at, energy_kwh, is_estimated
    from spans
    where span_end_at <= first_slot_ends_at
    union all
    select
        session_id, site_id, vehicle_id, slot_start_at,
        energy_kwh
        * {{ overlap_minutes('span_start_at', 'span_end_at', 'slot_start_at', add_minutes('slot_start_at', 15)) }}
        / {{ minutes_between('span_start_at', 'span_end_at') }} as energy_kwh,
        is_estimated
    from crossing
)

select
    session_id, site_id, vehicle_id, slot_start_at,
    {{ add_minutes('slot_start_at', 15) }} as slot_end_at,
    {{ exact_sum('energy_kwh') }} as energy_kwh,
    count(energy_kwh) < count(*) as is_incomplete,
    bool_or(is_estimated) as is_estimated
from parts
group by session_id, site_id, vehicle_id, slot_start_at
