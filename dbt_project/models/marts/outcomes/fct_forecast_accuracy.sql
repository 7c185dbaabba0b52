with forecasts as (
    select *, try_cast(right(subject_id, 10) as date) as subject_date
    from ({{ latest_of_sources(ref('stg_forecast'), key=['site_id', 'target', 'subject_id', 'predicted_at']) }}) as latest
),

-- A subject that ends in a date names the operating day; otherwise it is the first day that ends after the forecast.
returns as (
    select *
    from (
        select
            forecasts.site_id, forecasts.target, forecasts.subject_id, forecasts.predicted_at,
            days.last_return_at, days.soc_at_return_pct,
            row_number() over (
                partition by forecasts.site_id, forecasts.target, forecasts.subject_id, forecasts.predicted_at
                order by days.last_return_at
            ) as return_rank
        from forecasts
        inner join {{ ref('fct_duty_cycle_day') }} as days
            on
                forecasts.vehicle_id = days.vehicle_id
                and (forecasts.subject_date is null or forecasts.subject_date = days.operating_date)
                and days.last_return_at > forecasts.predicted_at
                and days.last_return_at <= {{ add_minutes('forecasts.predicted_at', 2880) }}
        where forecasts.target in ('return_at', 'soc_at_arrival_pct')
    ) as ranked
    where return_rank = 1
),

measured as (
    select
        forecasts.*,
        case forecasts.target
            when 'return_at'
                then {{ minutes_between('forecasts.predicted_at', 'returns.last_return_at') }} / 60
            when 'soc_at_arrival_pct' then returns.soc_at_return_pct
        end as actual
    from forecasts
    inner join returns
        on
            forecasts.site_id = returns.site_id
            and forecasts.target = returns.target
            and forecasts.subject_id = returns.subject_id
            and forecasts.predicted_at = returns.predicted_at
)

select
    site_id, target, subject_id, vehicle_id, predicted_at, unit, name, model_version, rung, point, actual,
    point - actual as error,
    actual between q25 and q75 as is_within_50,
    actual between q10 and q90 as is_within_80,
    actual between q05 and q95 as is_within_90,
    actual between q025 and q975 as is_within_95,
    q95 - q05 as width_90,
    source
from measured
where actual is not null
