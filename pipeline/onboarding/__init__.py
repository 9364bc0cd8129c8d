"""Sitting the aptitude test of a router: a new candidate's way from the test's items to outcomes that it joins by.

`sheet` writes the items with their prompts, `endpoint` and `answer_file` let a language model answer them, `grading`
grades what a rule can, `results` reads what came back graded, and `standing` says what that tells of the candidate.
What the test is stands in `pipeline.routers.aptitude`.
"""
