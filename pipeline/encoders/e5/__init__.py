"""The encoder `e5-small`: from the file that its package carries to the folder that transformers reads."""
