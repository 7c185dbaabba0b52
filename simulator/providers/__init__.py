"""The outside world's HTTP APIs: rFMS v4 for trucks and buses, Geotab for vans, over real sockets.

They reveal only what a provider could have received by the simulated present, and misbehave by a seeded plan.
"""
