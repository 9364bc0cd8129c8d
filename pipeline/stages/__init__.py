"""One module a stage of dvc.yaml, under its name there. They know nothing of each other, and nothing imports them."""
