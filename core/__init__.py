"""What every room shares and nothing more.

Here live the time grid, units, the clock, atomic files, locks, settings, the source-neutral row types, the landing
zone that holds them, and the documents that travel between programs. Nothing here knows a provider, a model, a
solver, a charger or an orchestrator.
"""
