{{ latest_version(source('raw', 'tariff_rate'), key=['tariff_id', 'schedule_id', 'start_minute']) }}
