"""One module a stage of dvc.yaml, under its name; a models_ stage without one is the same module, for models."""
