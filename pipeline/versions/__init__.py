"""What a registered version holds and proves: folder, provenance, signature, differences, replay, trace, audit."""
