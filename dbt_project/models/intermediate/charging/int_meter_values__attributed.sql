-- Meter samples with the session they belong to: by the transaction's number, else by time on the connector.
with transactions as (
    select
        {{ session_id() }} as session_id, source, station_id, connector_id, transaction_id, started_at,
        {{ add_minutes('started_at', -1) }} as earliest_at,
        {{ add_minutes('ended_at', 1) }} as latest_at
    from {{ ref('stg_charging_transaction') }}
),

samples as (
    select source, station_id, connector_id, transaction_id, observed_at, energy_register_kwh, power_kw, soc_pct
    from {{ ref('stg_meter_value') }}
),

attributed as (
    select samples.*, transactions.session_id, transactions.started_at
    from samples
    inner join transactions
        on
            samples.source = transactions.source
            and samples.station_id = transactions.station_id
            and samples.connector_id = transactions.connector_id
            and samples.transaction_id = transactions.transaction_id
            and samples.observed_at >= transactions.earliest_at
            and (transactions.latest_at is null or samples.observed_at <= transactions.latest_at)
    union all
    select samples.*, transactions.session_id, transactions.started_at
    from samples
    inner join transactions
        on
            samples.source = transactions.source
            and samples.station_id = transactions.station_id
            and samples.connector_id = transactions.connector_id
            and samples.observed_at >= transactions.earliest_at
            and (transactions.latest_at is null or samples.observed_at <= transactions.latest_at)
    where samples.transaction_id is null
)

-- Of two transactions that could own a sample (a number used twice, a missing end) the later start does.
select session_id, observed_at, energy_register_kwh, power_kw, soc_pct
from (
    select
        *,
        row_number() over (
            partition by source, station_id, connector_id, observed_at order by started_at desc, session_id
        ) as owner_rank
    from attributed
) as owners
where owner_rank = 1
