"""Figures from truths and choices, with bootstrap intervals; nothing here knows where the arrays came from."""
