"""Helpers for other frameworks: fixtures for pytest.

Each framework has a folder of its own here, which is imported only where it is used. May import: all layers below.
"""
