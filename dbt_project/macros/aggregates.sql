{# A sum that is unknown where any part is unknown: unknown is NULL, never 0. #}
{% macro sum_if_complete(value) -%}
    case when count(*) = count({{ value }}) then sum({{ value }}) end
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
