"""Pages and exports for people.

Here live the operations page, what it is made of (read from landing as of an instant), and the last screen of a run.
Nothing here fetches, forecasts, plans or sends; it says what is known, how old that is, and what is not known.
"""
