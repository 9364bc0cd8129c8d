"""The night: what is new, the stages as Prefect's tasks, and Prefect's server."""
