"""What jobs do, step by step, as plain functions: assets, commands and the demo are thin shells over them.

A step reads (landing, registry), calls one room, writes, and returns what it did. It imports no Dagster and reads no
clock: ``as_of`` is an argument.
"""
