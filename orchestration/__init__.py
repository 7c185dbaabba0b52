"""The crank: Dagster definitions, the warehouse, and the command line.

Where do I go to…
- change what a job does step by step: ``steps/`` (plain functions; assets and commands are thin shells over them);
- change which assets exist and how they show in Dagster: ``defs/<domain>/``;
- change when jobs run: ``schedules.py``, ``sensors.py``;
- change how the DuckDB file is opened or published: ``warehouse.py``, the one place that does;
- add a command: ``cli/``, whose modules import Dagster only inside the commands that need it.

No logic of forecasting, planning or charging belongs here, and this file imports nothing, so that ``depotwise plan``
and ``depotwise bridge`` start fast.
"""
