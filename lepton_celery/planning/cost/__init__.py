"""The cost model: the cost of work, the prediction of a stage, and the correction by finished jobs.

`model` holds the figures, `predict` applies them to a plan, `refine` corrects them, and `keep` stores them. Planning imports
this folder; engines, jobs and tools import `keep` and `model`.
"""
