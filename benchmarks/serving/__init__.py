"""How fast the engine and the service answer, beside what others would use on the same weights."""
