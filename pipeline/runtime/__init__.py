"""What every room stands on: errors, settings, tables, arrays, progress, and how a stage is run."""
