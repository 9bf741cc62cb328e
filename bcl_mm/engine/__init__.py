"""Hooks, schedules, processes and resumption."""
