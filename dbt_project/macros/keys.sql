{# One column that stands for several, so that joins stay readable. Equal parts give equal keys on every run. #}
{% macro surrogate_key(columns) -%}
    md5(concat_ws('|', {% for column in columns %}cast({{ column }} as {{ dbt.type_string() }}){{ ', ' if not loop.last }}{% endfor %}))
{%- endmacro %}

{% macro session_id() -%}
    {{ surrogate_key(['source', 'station_id', 'connector_id', 'transaction_id', 'started_at']) }}
{%- endmacro %}
