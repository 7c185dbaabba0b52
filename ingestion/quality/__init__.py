"""What makes a row untrustworthy: row rules and plausibility, and batch expectations from the same declarations.

Row rules decide what is quarantined; expectations judge a batch. Both come from ``core.entities``.
"""
