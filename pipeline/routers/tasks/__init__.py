"""`tasks`: two stages (arXiv 2603.19415). Tasks are discovered in a graph of prompts; heads estimate quality in them.

`graph`, `discovery` from prompts, or `descriptions` of them, to tasks; `assignment` and `encoder_assignment` from a new
prompt to its task, `assignment_selection` by which; `shrunken_means` what a task says of each candidate, and who is
preferred there; `task_heads` the estimate of the prompt itself, `head_selection` by how many; `model` both stages
together, `mixing` how much each counts; `task_summary` what makes a task readable; `drift` prompts that match no task;
`explanation` why; `router` the scorer behind the protocol.
"""
