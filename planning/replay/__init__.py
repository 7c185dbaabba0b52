"""Closed-loop replay of days: plan with what was known then, reveal the truth slot by slot, plan again, score.

Pure: a World knows what really happens, a Forecaster says what was known, a Policy decides; each sees the others only
through the small types of ``world`` and ``observation``. No clock, no files, no landing.
"""
