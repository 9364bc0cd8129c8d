"""Word to people: what there is to tell of nights and versions, sent once, and what was sent."""
