"""Charging: transactions, meters and statuses from the bridge or from files, and which vehicle each belongs to."""
