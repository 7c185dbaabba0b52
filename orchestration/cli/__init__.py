"""The command line: ``app.main``, whose commands import what they need when they run.

``depotwise plan`` and ``depotwise bridge`` must not wait for Dagster.
"""
