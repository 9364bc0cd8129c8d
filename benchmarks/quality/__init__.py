"""How well prompts reach their agents: several tables, several systems, the same splits."""
