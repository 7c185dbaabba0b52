"""Replays of recorded and simulated days: what landing knew at every instant, and what really happened.

Here worlds and forecasters are filled from landing; the loop, the policies and the scores are ``planning.replay``'s.
"""
