"""From a graph to a plan: stages, blocks, batches, memory, and what they will cost.

`planner.make_plan` is the entry point and `plan.Plan` the result. May import: the graph and below.
"""
