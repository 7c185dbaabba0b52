{# Schema names are exact (staging, intermediate, marts), so that an asset's key is its place. #}
{% macro generate_schema_name(custom_schema_name, node) -%}
    {{ target.schema if custom_schema_name is none else custom_schema_name | trim }}
{%- endmacro %}
