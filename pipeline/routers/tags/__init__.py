"""`tags`: TagRouter (arXiv 2506.12473). Prompts get tags; each tag holds each candidate's wins, ties and losses.

`vocabulary` the mined tags; `tag_sources` from prompt to tags, one class a kind; `generator` and `generated` tags by a
causal language model; `tagging` all kinds together; `tallies` counts against the reference; `scores` from counts to
each candidate's expected quality; `tag_evidence` all that scores are made of; `training_memory` what a joining
candidate needs of the training prompts; `explanation` why; `router` the scorer behind the protocol.
"""
