{# Half-open ranges of one partition do not overlap; an open end reaches for ever. #}
{% test mutually_exclusive_ranges(model, lower, upper, partition_by) %}
select *
from (
    select
        {{ partition_by | join(', ') }},
        {{ lower }} as lower_bound,
        {{ upper }} as upper_bound,
        lead({{ lower }}) over (partition by {{ partition_by | join(', ') }} order by {{ lower }}) as next_lower_bound
    from {{ model }}
) as ranges
where upper_bound < lower_bound or next_lower_bound < upper_bound or (upper_bound is null and next_lower_bound is not null)
{% endtest %}
