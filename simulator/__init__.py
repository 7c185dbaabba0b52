"""A depot that speaks the real protocols over real sockets: vehicles, people, chargers, provider APIs.

It writes the configuration, history and signals of a seeded fleet and then runs one night live, on a simulated clock.
It shares no codec, no battery formula and no configuration reader with the platform (it imports ``core`` alone): with
those shared, every test would agree with its own mistake. Nothing here may know how the platform works inside.
"""
