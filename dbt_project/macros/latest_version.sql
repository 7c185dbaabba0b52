{# Rows of the landing zone are versions. This keeps, per key and source, the version that was available last, as
   core.landing.Landing.read does without an as_of. Full ties are broken by content, never by file order. #}
{% macro latest_version(relation, key, columns) -%}
    {%- set newest_first = ['available_at', 'observed_at', 'ingested_at'] -%}
    {%- set all_columns = key + columns + (newest_first | reject('in', key) | list) + ['source'] -%}
    select {{ all_columns | join(', ') }}
    from (
        select
            {{ all_columns | join(', ') }},
            row_number() over (
                partition by {{ (key + ['source']) | join(', ') }}
                order by {{ newest_first | join(' desc, ') }} desc{{ ', ' if columns }}{{ columns | join(', ') }}
            ) as version_rank
        from {{ relation }}
    ) as versions
    where version_rank = 1
{%- endmacro %}

{# One row per key over all sources: the one that was available last. #}
{% macro latest_of_sources(relation, key) -%}
    select *
    from (
        select
            *,
            row_number() over (
                partition by {{ key | join(', ') }}
                order by available_at desc, observed_at desc, ingested_at desc, source
            ) as source_rank
        from {{ relation }}
    ) as candidates
    where source_rank = 1
{%- endmacro %}
