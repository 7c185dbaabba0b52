{# One view per declared source over the Parquet files of the landing zone: all versions, with their source. Every
   entity has a zero-row file, so the views exist where nobody has landed anything. #}
{% macro create_raw_views() %}
    {% if execute and flags.WHICH in ['build', 'run', 'test', 'seed', 'show'] %}
        {% do run_query('create schema if not exists raw') %}
        {% for source in graph.sources.values() %}
            {% do run_query(raw_view_sql(source.name)) %}
        {% endfor %}
    {% endif %}
{% endmacro %}

{% macro raw_view_sql(entity) %}
    {{ return(adapter.dispatch('raw_view_sql', 'depotwise')(entity)) }}
{% endmacro %}

{% macro default__raw_view_sql(entity) %}
    {%- set files = env_var('DEPOTWISE_LANDING_DIR') ~ '/' ~ entity ~ '/source=*/date=*/*.parquet' %}
    create or replace view raw.{{ entity }} as
    select * exclude ("date")
    from read_parquet(
        '{{ files | replace("'", "''") }}',
        union_by_name = true,
        hive_partitioning = true,
        hive_types = {'source': varchar, 'date': date}
    )
{% endmacro %}
