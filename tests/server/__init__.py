"""Tests that need a Redis-compatible server, which they start, and neither Celery nor workers."""
