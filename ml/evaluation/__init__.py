"""Judging forecasts: metrics, rolling-origin backtests, and the decision which forecaster is used.

Everything here sees forecasts and what came of them; it makes no features and fits nothing by itself.
"""
