"""Audit, difference, trace and replay of registered versions."""
