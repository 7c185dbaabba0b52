{# Select-list expressions that unpack an array of numbers in a JSON document: its elements, and their index from 0. #}
{% macro json_number_elements(document, path) %}{{ return(adapter.dispatch('json_number_elements', 'depotwise')(document, path)) }}{% endmacro %}
{% macro default__json_number_elements(document, path) -%}
    unnest(cast(json_extract({{ document }}, '{{ path }}') as double[]))
{%- endmacro %}

{% macro json_number_indices(document, path) %}{{ return(adapter.dispatch('json_number_indices', 'depotwise')(document, path)) }}{% endmacro %}
{% macro default__json_number_indices(document, path) -%}
    generate_subscripts(cast(json_extract({{ document }}, '{{ path }}') as double[]), 1) - 1
{%- endmacro %}

{% macro json_number(document, path) %}{{ return(adapter.dispatch('json_number', 'depotwise')(document, path)) }}{% endmacro %}
{% macro default__json_number(document, path) -%}
    cast(json_extract({{ document }}, '{{ path }}') as double)
{%- endmacro %}
