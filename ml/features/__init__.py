"""What a model may look at: one file per family of knowledge, each with the list of the columns it adds.

Features live here and nowhere else. Every family is a pure function, frames in and frame out, and takes for each row
only facts known at the row's ``predicted_at``. No targets, no models, no reading.
"""
