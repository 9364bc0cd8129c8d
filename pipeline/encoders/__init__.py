"""Text to vectors: sentence encoders in torch and ONNX, long prompts in windows, and similarity between prompts."""
