"""Transformation: dbt's models and tests, built under the warehouse's lock, and the analysts' copy of the marts."""
