"""The schedule: which dates there are, a night for each, a process that starts them, and its installation."""
