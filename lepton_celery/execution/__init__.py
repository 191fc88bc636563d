"""The work itself: blocks done, stages merged, outputs published.

Plain functions over a `Context` that know nothing of Celery, the same for every engine. Engines, jobs and calibration
import this folder; it imports planning and what lies below.
"""
