"""What chargers say: logs of OCPP frames become transactions, meter values and statuses.

Parsers are pure; ``bridge_frames`` and ``file_frames`` only fetch. Nothing here answers a charger or decides which
vehicle a transaction belongs to.
"""
