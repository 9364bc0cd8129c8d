"""OpenAI's chat completions, routed to upstreams of one's own."""
