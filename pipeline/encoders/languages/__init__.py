"""Which language a prompt is in, and whether an encoder was made for it."""
