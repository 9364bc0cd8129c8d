"""A version into service and back, by hand or as Prefect's flows."""
