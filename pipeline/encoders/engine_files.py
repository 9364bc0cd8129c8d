"""The names inside a version's `engine/` folder, for those who need no more than the names.

engine/
  encoder.onnx                 token ids to one unit vector, in int8 or fp32
  tokenizer.json               as the `tokenizers` library writes it
  engine.json                  format, precision, how much is read at once
  training_rows.safetensors    vectors, ids and labels of the rows that answers lead back to
"""

ENGINE = "engine"
GRAPH, TOKENIZER, DESCRIPTION = "encoder.onnx", "tokenizer.json", "engine.json"
TRAINING_ROWS = "training_rows.safetensors"
