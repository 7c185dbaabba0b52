"""Signals: prices, weather, and the load of the rest of a site."""
