"""`tags`: TagRouter (arXiv 2506.12473). Prompts get tags; each tag holds each candidate's wins, ties and losses.

`settings` what can be told; `phrases`, `surface` what a text shows; `vocabulary` the mined tags; `sources` from prompt
to tags, one class a kind; `generator` tags by a causal language model; `tagging` all kinds together; `tallies` counts
against the reference; `scores` from counts to each candidate's expected quality; `explanation` why; `router` the
scorer behind the protocol.
"""
