"""A graph cut into stages, blocks and batches; memory and time.

`planner.make_plan` is the entry point, `plan.Plan` the result, and `cost` the cost model. Execution, engines, jobs and tools
import this folder; it imports the graph, the ledger, stores and what lies below them.
"""
