"""Prices, tariffs, carbon, weather and site load: what the grid and the sky say.

Parsers here are pure and shared: a live source and an import of history read the same file in the same way. Nothing
here plans, and nothing here knows a site beyond its id.
"""
