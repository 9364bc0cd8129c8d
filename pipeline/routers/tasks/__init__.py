"""`tasks`: two stages (arXiv 2603.19415). Tasks are discovered in a graph of prompts; heads estimate quality in them.

`ranking`, `graph`, `communities`, `discovery` from prompts to tasks; `assignment` from a new prompt to its task;
`shrunken_means` what a task says of each candidate, and who is preferred there; `task_heads` the estimate of the prompt
itself; `model` both stages together, and how much each counts; `task_summary` what makes a task readable; `drift`
prompts that match no task; `explanation` why; `router` the scorer behind the protocol.
"""
