"""What people decide about the dataset: labels reviewed, rows added."""
