"""The one room that knows MLflow: versions, registration, verification."""
