"""Sitting the aptitude test of a router: a new candidate's way from the test's items to outcomes that it joins by.

`aptitude_sheet` writes the items with their prompts. `aptitude_run` lets a language model answer them, by `chat_client`
into `answers_file`. `graded_answers` grades what a rule can and reads what came back, and `ability` says what that
tells of the candidate.
What the test is stands in `pipeline.routers.aptitude`.
"""
