"""The HTTP service around the engine: routes, schemas, keys, limits, metrics."""
