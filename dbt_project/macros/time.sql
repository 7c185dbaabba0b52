{# Time arithmetic, in one place because engines spell it differently. Instants are UTC; slots are quarter-hours. #}

{% macro local_date(instant, timezone) %}{{ return(adapter.dispatch('local_date', 'depotwise')(instant, timezone)) }}{% endmacro %}
{% macro default__local_date(instant, timezone) -%}
    cast(timezone({{ timezone }}, {{ instant }}) as date)
{%- endmacro %}

{% macro minutes_between(start_at, end_at) %}{{ return(adapter.dispatch('minutes_between', 'depotwise')(start_at, end_at)) }}{% endmacro %}
{% macro default__minutes_between(start_at, end_at) -%}
    ((epoch_us({{ end_at }}) - epoch_us({{ start_at }})) / 6e7)
{%- endmacro %}

{% macro add_minutes(instant, minutes) %}{{ return(adapter.dispatch('add_minutes', 'depotwise')(instant, minutes)) }}{% endmacro %}
{% macro default__add_minutes(instant, minutes) -%}
    ({{ instant }} + to_microseconds(cast(({{ minutes }}) * 6e7 as bigint)))
{%- endmacro %}

{% macro add_days(date, days) %}{{ return(adapter.dispatch('add_days', 'depotwise')(date, days)) }}{% endmacro %}
{% macro default__add_days(date, days) -%}
    ({{ date }} + cast({{ days }} as integer))
{%- endmacro %}

{# A set-returning expression for a select list: the start of every slot that [start_at, end_at) touches. #}
{% macro slot_starts(start_at, end_at) %}{{ return(adapter.dispatch('slot_starts', 'depotwise')(start_at, end_at)) }}{% endmacro %}
{% macro default__slot_starts(start_at, end_at) -%}
    unnest(generate_series(
        {{ depotwise.slot_start(start_at) }},
        {{ end_at }} - interval 1 microsecond,
        interval 15 minutes
    ))
{%- endmacro %}

{% macro slot_start(instant) %}{{ return(adapter.dispatch('slot_start', 'depotwise')(instant)) }}{% endmacro %}
{% macro default__slot_start(instant) -%}
    time_bucket(interval 15 minutes, {{ instant }})
{%- endmacro %}

{# Minutes that two known intervals share; the four instants must not be NULL. #}
{% macro overlap_minutes(start_a, end_a, start_b, end_b) -%}
    greatest(0, {{ minutes_between('greatest(' ~ start_a ~ ', ' ~ start_b ~ ')', 'least(' ~ end_a ~ ', ' ~ end_b ~ ')') }})
{%- endmacro %}
