-- A transaction of one source with its energy by the best evidence that this source has: the registers of its start
-- and end, else the energy it reports, else its meter samples.
with transactions as (
    select *, {{ session_id() }} as session_id from {{ ref('stg_charging_transaction') }}
),

samples as (
    select
        samples.*,
        transactions.started_at,
        samples.energy_register_kwh - lag(samples.energy_register_kwh, 1, transactions.meter_start_kwh) over (
            partition by samples.session_id order by samples.observed_at
        ) as step_kwh
    from {{ ref('int_meter_values__attributed') }} as samples
    inner join transactions on samples.session_id = transactions.session_id
),

metered as (
    select
        session_id,
        count(*) as meter_samples,
        min(energy_register_kwh) as first_register_kwh,
        max(energy_register_kwh) as last_register_kwh,
        max(power_kw) as peak_kw,
        -- Below 0.1 kW a charger only keeps its electronics alive. Samples without any flow: it never began.
        coalesce(
            max(case when step_kwh > 0.01 or (step_kwh is null and power_kw > 0.1) then observed_at end),
            max(case when step_kwh is not null or power_kw is not null then started_at end)
        ) as last_flow_at,
        min_by(soc_pct, case when soc_pct is not null then observed_at end) as first_soc_pct,
        max_by(soc_pct, case when soc_pct is not null then observed_at end) as last_soc_pct
    from samples
    group by session_id
),

evidence as (
    select
        transactions.*,
        metered.peak_kw, metered.last_flow_at, metered.first_soc_pct, metered.last_soc_pct,
        coalesce(metered.meter_samples, 0) as meter_samples,
        case
            when transactions.meter_end_kwh >= transactions.meter_start_kwh
                then transactions.meter_end_kwh - transactions.meter_start_kwh
        end as register_kwh,
        case
            when metered.last_register_kwh >= coalesce(transactions.meter_start_kwh, metered.first_register_kwh)
                then metered.last_register_kwh - coalesce(transactions.meter_start_kwh, metered.first_register_kwh)
        end as sampled_kwh
    from transactions
    left join metered on transactions.session_id = metered.session_id
)

select
    session_id, source, station_id, connector_id, transaction_id, site_id, started_at, ended_at, charging_ended_at,
    last_flow_at,
    coalesce(register_kwh, energy_kwh, sampled_kwh) as energy_kwh,
    case
        when register_kwh is not null then 'register'
        when energy_kwh is not null then 'reported'
        when sampled_kwh is not null then 'meter_values'
    end as energy_basis,
    metering_point, meter_start_kwh, meter_end_kwh, peak_kw, meter_samples,
    coalesce(soc_start_pct, first_soc_pct) as soc_start_pct,
    coalesce(soc_end_pct, last_soc_pct) as soc_end_pct,
    token, user_id, vehicle_id, idle_min, requested_kwh, stated_departure_at, price_total, currency, stop_reason,
    is_estimated
from evidence
