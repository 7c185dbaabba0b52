{{ config(severity='warn') }}

-- Spreading a session over quarter-hours neither makes nor loses energy: what is found here has registers that step
-- back between its samples.
with spread as (
    select session_id, sum(energy_kwh) as energy_kwh, bool_or(is_incomplete) as is_incomplete
    from {{ ref('int_charging_intervals__spread') }}
    group by session_id
)

select sessions.session_id, sessions.energy_kwh, spread.energy_kwh as spread_kwh
from {{ ref('int_sessions__matched') }} as sessions
inner join spread on sessions.session_id = spread.session_id
where
    not spread.is_incomplete
    and sessions.ended_at is not null
    and (sessions.energy_basis = 'register' or sessions.meter_samples = 0)
    and abs(sessions.energy_kwh - spread.energy_kwh) > 0.01 + 0.01 * sessions.energy_kwh
