"""From a problem to powers: the linear relaxation, and the repairs that make it obey the rules it relaxed.

``relaxation.relax`` is the one way in for powers; how it is solved is its own business. ``program`` is the only module
that knows the solver.
"""
