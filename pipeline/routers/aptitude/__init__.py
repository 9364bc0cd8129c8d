"""`aptitude`: a candidate is known by an aptitude test, so that a new one can be routed to without retraining.

After Model-SAT, "Capability Instruction Tuning" (arXiv 2502.17282). `items` chooses the test from the training
outcomes, `capability` says what answers to it tell of a candidate, in figures and in words, a *reader* (`lean`, or the
language model of `full`) learns to read such a capability against a prompt, and `router` puts it behind the protocol.
"""
