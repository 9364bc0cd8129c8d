"""SmolLM2-135M, which an installed package carries: as a language model, and as an encoder."""
