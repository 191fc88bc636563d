"""Helpers for other frameworks: a site in Django, Flask or as an ASGI application, fixtures for pytest.

Each framework has a file or a folder of its own here, which is imported only where it is used. May import: all layers below,
the commands among them.
"""
