"""Forecasters behind one protocol: rules that need no fit, and quantile trees that learn what the rules miss.

No features are made here and nothing is read: a forecaster sees a frame of features and returns quantiles.
"""
