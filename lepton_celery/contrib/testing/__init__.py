"""Fixtures with which the tests of a project run jobs: inline, or on a real broker with real workers.

`plugin` has the fixtures, which pytest finds by the entry point of this package; `stack` starts and redirects, and `app` is
what the workers of a test session run. pytest imports `plugin` in every project that has this package installed, so that
module imports nothing but pytest until a fixture is used.
"""
