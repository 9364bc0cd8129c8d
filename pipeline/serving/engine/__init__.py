"""Answering one prompt or many: loaded version, batching, decision, hot swap, journal."""
