{# Sums of floats depend on the order in which rows are read, and landing's files have none: the same rows, landed by a
   run that was killed and started again, would give other last digits. So billionths are added, exactly. #}
{% macro exact_sum(value) -%}
    cast(sum(cast({{ value }} as decimal(28, 9))) as double)
{%- endmacro %}

{% macro exact_avg(value) -%}
    {{ exact_sum(value) }} / count({{ value }})
{%- endmacro %}

{% macro weighted_mean(value, weight) -%}
    {{ exact_sum(value ~ ' * ' ~ weight) }}
    / {{ exact_sum('case when ' ~ value ~ ' is not null then ' ~ weight ~ ' end') }}
{%- endmacro %}

{# A sum that is unknown where any part is unknown: unknown is NULL, never 0. #}
{% macro sum_if_complete(value) -%}
    case when count(*) = count({{ value }}) then {{ exact_sum(value) }} end
{%- endmacro %}

{# The value in the first or last row of a group, also when it is NULL there. #}
{% macro value_at_first(value, order) %}{{ return(adapter.dispatch('value_at_first', 'depotwise')(value, order)) }}{% endmacro %}
{% macro default__value_at_first(value, order) -%}
    arg_min_null({{ value }}, {{ order }})
{%- endmacro %}

{% macro value_at_last(value, order) %}{{ return(adapter.dispatch('value_at_last', 'depotwise')(value, order)) }}{% endmacro %}
{% macro default__value_at_last(value, order) -%}
    arg_max_null({{ value }}, {{ order }})
{%- endmacro %}

{# Window functions that pass over NULL; the window follows them. #}
{% macro first_known(value) %}{{ return(adapter.dispatch('first_known', 'depotwise')(value)) }}{% endmacro %}
{% macro default__first_known(value) -%}
    first_value({{ value }} ignore nulls)
{%- endmacro %}

{% macro last_known(value) %}{{ return(adapter.dispatch('last_known', 'depotwise')(value)) }}{% endmacro %}
{% macro default__last_known(value) -%}
    last_value({{ value }} ignore nulls)
{%- endmacro %}
