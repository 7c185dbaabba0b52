"""The demonstration: a simulated depot and its bridges as other programs, one shared clock, the real jobs in between.

Nothing here is used by a real site. The simulator is started as a program and never imported; the platform sees it only
through sockets and files.
"""
