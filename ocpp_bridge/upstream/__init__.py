"""The bridge beside an existing back end.

``relay`` and what it uses put the bridge between a station and its back end (proxy mode). Publishers reach stations
through a back end's own interface. Nothing here decides what a station should hold: that is ``conductor``, in every
mode.
"""
