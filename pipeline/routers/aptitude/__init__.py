"""`aptitude`: a candidate is known by an aptitude test, so that a new one can be routed to without retraining.

After Model-SAT, "Capability Instruction Tuning" (arXiv 2502.17282). `items` chooses the test from the training
outcomes, `capability` says what answers to it tell of a candidate, in figures and in words; a *reader* (the variant
`lean` of `attention_reader`, or `full`, the language model of `language_model/`) learns from a `training_set` to read
such a capability against a prompt, by one of the `losses`; `platt_scaling` turns its logits to quality, and `router`
puts it behind the protocol.
"""
