"""Features read off a prompt's text: key phrases, surface, character n-grams."""
