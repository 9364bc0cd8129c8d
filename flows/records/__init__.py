"""Append-only logs: who promoted what, what served when, what was removed."""
