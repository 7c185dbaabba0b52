"""Assets and checks, one folder a domain. An asset's body reads, calls one step, and attaches metadata."""
