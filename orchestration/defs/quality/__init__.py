"""Quality: batch expectations at the gate, and lateness of data. There is no fifth place for checks (see README)."""
