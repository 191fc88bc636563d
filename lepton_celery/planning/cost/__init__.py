"""The cost model: what work costs, what a stage will cost, and how finished jobs correct the model.

`model` holds the figures, `predict` applies them to a plan, `refine` corrects them, `keep` stores them.
"""
