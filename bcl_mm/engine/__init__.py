"""What drives training: hooks, schedules, processes."""
