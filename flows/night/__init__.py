"""The night: from the lock to the report, its stages as Prefect's tasks, and Prefect's server."""
