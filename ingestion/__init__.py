"""Bytes from outside become canonical rows.

Here live the configuration (``registry``), the HTTP client, the providers, charging back ends and signals, the archive
of provider bytes, the row rules and the matching of vehicles to transactions. What leaves this room is canonical rows
in the landing zone; no provider's own word goes further. It imports ``core`` alone.
"""
