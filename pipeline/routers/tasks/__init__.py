"""`tasks`: two stages (arXiv 2603.19415). Tasks are discovered in a graph of prompts; heads estimate quality in them.

`grams`, `surface`, `features` what a prompt is known by; `ranking`, `graph`, `communities`, `discovery` from prompts to
tasks; `assignment` from a new prompt to its task; `means` what a task says of each candidate; `shortlists`, `heads` the
estimate of the prompt itself; `model` both stages together; `mixing` how much each counts; `evidence` what makes a task
readable; `router` the scorer behind the protocol.
"""
