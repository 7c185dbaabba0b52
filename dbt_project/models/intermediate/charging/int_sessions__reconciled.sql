-- The same kilowatt-hour is told by several sources: of transactions on one connector that overlap, one stands for
-- the session. Known energy first, then the metering point (the charger's own meter before everything), then the
-- evidence (registers before a reported sum before samples), then the source's name.
with transactions as (
    select
        *,
        case when energy_kwh is null then 100 else 0 end
        + case
            when metering_point in ('evse_ac_out', 'evse_dc_out', 'evse_ac_in') then 10
            when metering_point is null then 20
            when metering_point = 'site_grid' then 30
            when metering_point = 'battery_in' then 40
            else 50
        end
        + case energy_basis when 'register' then 1 when 'reported' then 2 else 3 end as precedence,
        -- A transaction that has not ended may last a day.
        coalesce(ended_at, {{ add_minutes('started_at', 1440) }}) as busy_until,
        {{ minutes_between('started_at', 'ended_at') }} as duration_min
    from {{ ref('int_transactions__metered') }}
),

pairs as (
    select
        mine.session_id,
        other.source as other_source,
        other.energy_kwh - mine.energy_kwh as difference_kwh,
        other.precedence < mine.precedence
        or (other.precedence = mine.precedence and other.source < mine.source) as is_other_better
    from transactions as mine
    inner join transactions as other
        on
            mine.station_id = other.station_id
            and mine.connector_id = other.connector_id
            and mine.source <> other.source
            and (
                abs({{ minutes_between('mine.started_at', 'other.started_at') }}) <= {{ var('same_session_minutes') }}
                or (
                    mine.started_at < other.busy_until and other.started_at < mine.busy_until
                    and {{ overlap_minutes('mine.started_at', 'mine.busy_until', 'other.started_at', 'other.busy_until') }}
                    >= {{ var('same_session_overlap') }} * least(mine.duration_min, other.duration_min)
                )
            )
),

compared as (
    select
        session_id,
        bool_or(is_other_better) as is_told_better_elsewhere,
        count(distinct other_source) as other_sources,
        max(abs(difference_kwh)) as max_difference_kwh
    from pairs
    group by session_id
)

select
    transactions.session_id, transactions.source, transactions.station_id, transactions.connector_id,
    transactions.transaction_id, coalesce(transactions.site_id, connectors.site_id) as site_id,
    transactions.started_at, transactions.ended_at, transactions.charging_ended_at, transactions.last_flow_at,
    transactions.energy_kwh, transactions.energy_basis, transactions.metering_point, transactions.meter_start_kwh,
    transactions.meter_end_kwh, transactions.peak_kw, transactions.meter_samples, transactions.soc_start_pct,
    transactions.soc_end_pct, transactions.token, transactions.user_id, transactions.vehicle_id,
    transactions.idle_min, transactions.requested_kwh, transactions.stated_departure_at, transactions.price_total,
    transactions.currency, transactions.stop_reason, transactions.is_estimated,
    coalesce(compared.other_sources, 0) as other_sources,
    compared.max_difference_kwh
from transactions
left join compared on transactions.session_id = compared.session_id
left join {{ ref('int_connectors__current') }} as connectors
    on
        transactions.station_id = connectors.station_id
        and transactions.connector_id = connectors.connector_id
where not coalesce(compared.is_told_better_elsewhere, false)
