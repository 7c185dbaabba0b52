"""Charging stations as they really are: each a personality declared in ``catalogue``, on a real socket.

OCPP 1.6, 2.0.1 and 2.1, with profiles that are really held, stacked and expired. Nothing of the bridge is used here,
neither its codec nor its reading of the standard: with those shared, every test would agree with its own mistake.
"""
