"""Wiring: locks, runs, Prefect, MLflow and git. Nothing is computed here."""
