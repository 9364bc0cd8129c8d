"""Answering with a version in service: engine, HTTP service, web page. Knows no MLflow and no Prefect."""
