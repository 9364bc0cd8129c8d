"""The full reader of aptitude: a small causal language model that reads a capability as soft tokens."""
