"""What is computed: one noun a module. Nothing here knows of Prefect or MLflow."""
