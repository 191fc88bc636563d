"""How calls of the ledger's server are tried again, and that nobody waits for it without a word."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, TypeVar

from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import TimeoutError as RedisTimeout
from redis.retry import Retry

from lepton_celery.errors import WaitingWarning

T = TypeVar("T")

RETRIES = 3
"""Number of retries of a call whose connection breaks."""


class TellingRetry(Retry):
    """Tries a call again, and warns when it has had no answer for the first time.

    redis-py nests retries: a call connects, and connecting sends calls. Only the outermost call is tried again here, because
    four times four tries of a server that does not answer take minutes.
    """

    def __init__(self, shown_url: str) -> None:
        super().__init__(ExponentialWithJitterBackoff(base=0.05, cap=0.5), RETRIES)
        self._shown_url = shown_url
        self._is_calling = False  # redis-py copies this object for each connection, which one thread uses at a time

    def call_with_retry(self, do: Callable[[], T], fail: Callable[..., Any], *options: Any, **named: Any) -> T:
        """Call `do`; after an error call `fail`, then `do` again."""
        if self._is_calling:
            return do()
        is_first = True

        def tell_and_fail(error: Exception, *count: int) -> Any:
            nonlocal is_first
            if is_first and isinstance(error, RedisTimeout):
                told = f"the ledger at {self._shown_url} does not answer: {error}; trying again"
                warnings.warn(told, WaitingWarning, stacklevel=2)
            is_first = False
            return fail(error, *count)

        self._is_calling = True
        try:
            return super().call_with_retry(do, tell_and_fail, *options, **named)
        finally:
            self._is_calling = False
