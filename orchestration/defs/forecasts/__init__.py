"""Forecasts: return time and SoC at arrival of every vehicle out or due out."""
