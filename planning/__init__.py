"""Requests, limits and prices in; a charge-by-departure plan with reasons out.

Here live the problem and the plan as data, the oracle that judges any plan, the optimiser, the simple rules that it
is compared with, the explanation of every shortfall, the assembly of problems from what is known, and the publication
that the bridge receives. It imports ``core`` alone, and the solver in one module only (``optimiser.program``).
"""
