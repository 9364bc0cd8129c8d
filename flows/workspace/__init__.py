"""The project's folder and the tools around it: settings, lock, git, DVC, processes, runs."""
