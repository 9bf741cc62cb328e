"""Errors, files, checkpoints, processes."""
