"""Forecasts of what the planner needs: when vehicles are back and with what SoC, and how sure that is.

Here live the as-of dataset, features, targets, models, their calibration, evaluation and registry. Only `core` may be
imported: facts come from the landing zone as of an instant, never from a warehouse, a provider or a clock.
"""
