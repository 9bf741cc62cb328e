"""Functions for notebooks and for the commands."""
