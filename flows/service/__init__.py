"""What the service needs of the registry: which version, the page's actions, feedback."""
