"""The rules that open or close the way to the registry; each is a pure function with a verdict."""
