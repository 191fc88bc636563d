"""Every error that this package raises, under one root.

- `LeptonError`
    - `InputError` (ValueError)
        - `UnknownOperation` (also LookupError)
        - `DtypeNotSupported` (also TypeError)
        - `ArgumentTypeError` (also TypeError)
        - `ArgumentIndexError` (also IndexError)
        - `ArgumentOverflowError` (also OverflowError)
        - `ArgumentRuntimeError` (also RuntimeError)
            - `ArgumentNotImplementedError` (also NotImplementedError)
        - `NotExact`
        - `PlanTooLarge`
        - `OtherRelease`
    - `StoreError` (OSError)
        - `StoreNotFound` (also FileNotFoundError)
        - `StoreTimeout` (also TimeoutError)
        - `OutputExists` (also FileExistsError)
    - `BrokerUnreachable` (ConnectionError)
    - `JobError` (RuntimeError)
        - `JobNotFound` (also LookupError)
        - `JobFailed`
        - `JobCancelled`
        - `QueueFull`
        - `WaitTimeout` (also TimeoutError)

A message names the argument, the problem and the remedy. Every class keeps its fields in `args`, so that it survives
Celery's JSON result backend, which rebuilds an exception as `cls(*args)`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from lepton_celery.text import shown, shown_lines

if TYPE_CHECKING:
    from lepton_celery.grid import BlockIndex, StageIndex

_NO_STAGE = cast("StageIndex", -1)
"""The stage of a failure that belongs to no stage."""

NO_BLOCK = cast("BlockIndex", -1)
"""The block of a failure that belongs to no block."""


class LeptonError(Exception):
    """Root of all errors of this package."""

    exit_code = 1
    """The exit code of the command line when this error ends it."""
    http_status = 500
    """The status of the HTTP API when this error is its answer."""


def reason_of(error: BaseException) -> str:
    """The message of an error with its notes, and with its type if this package did not raise it, as text for people."""
    message = shown_lines(error) if isinstance(error, LeptonError) else f"{type(error).__name__}: {shown(error, 2000)}"
    return "; ".join([message, *map(shown, getattr(error, "__notes__", ()))])


class InputError(LeptonError, ValueError):
    """An argument is wrong; nothing was started."""

    exit_code = 2
    http_status = 400


class UnknownOperation(InputError, LookupError):
    """The catalogue has no function of that name."""


class DtypeNotSupported(InputError, TypeError):
    """The function cannot take an image of this dtype."""


class ArgumentTypeError(InputError, TypeError):
    """An argument has the wrong type, or the call has not the function's parameters: a TypeError in scikit-image."""


class ArgumentIndexError(InputError, IndexError):
    """An argument is refused with an IndexError in scikit-image."""


class ArgumentOverflowError(InputError, OverflowError):
    """An argument is refused with an OverflowError in scikit-image."""


class ArgumentRuntimeError(InputError, RuntimeError):
    """An argument is refused with a RuntimeError in SciPy."""


class ArgumentNotImplementedError(ArgumentRuntimeError, NotImplementedError):
    """scikit-image does not implement what the arguments ask for."""


def refusal_like(error: Exception) -> type[InputError]:
    """The class of a refusal that is also of the built-in class of a library's error, so that either can be caught."""
    classes: dict[type[Exception], type[InputError]] = {
        TypeError: ArgumentTypeError,
        IndexError: ArgumentIndexError,
        OverflowError: ArgumentOverflowError,
        NotImplementedError: ArgumentNotImplementedError,
        RuntimeError: ArgumentRuntimeError,
    }
    return next((refusal for built_in, refusal in classes.items() if isinstance(error, built_in)), InputError)


class NotExact(InputError):
    """Splitting would change the pixels with these arguments, so the function is refused."""


class NotExactWarning(UserWarning):
    """The result may differ from scikit-image's on the whole image; the message gives the bound and the reason."""


class WaitingWarning(UserWarning):
    """Something waits: no worker serves the lane of a job, or a server has not answered yet."""


class PlanTooLarge(InputError):
    """The plan exceeds a limit."""


class OtherRelease(InputError):
    """Another release wrote a document, in another version of its format."""


class StoreError(LeptonError, OSError):
    """An input cannot be read, or an output cannot be written."""

    exit_code = 3
    http_status = 502


class StoreNotFound(StoreError, FileNotFoundError):
    """There is no file at that path or URL."""

    http_status = 404


class StoreTimeout(StoreError, TimeoutError):
    """The file system of an input or an output does not answer."""


class OutputExists(StoreError, FileExistsError):
    """A file or folder already has the output's final name."""


class BrokerUnreachable(LeptonError, ConnectionError):
    """No broker or ledger answers at the configured URL."""

    exit_code = 4
    http_status = 503


class JobError(LeptonError, RuntimeError):
    """A job did not succeed, or its state does not allow what was asked for."""

    exit_code = 9
    http_status = 409

    def __init__(self, message: str, job_id: str = "") -> None:
        super().__init__(message, job_id)
        self.job_id = job_id
        """The id of the job."""

    def __str__(self) -> str:
        return str(self.args[0])


class JobNotFound(JobError, LookupError):
    """The ledger knows no job with that id."""

    exit_code = 8
    http_status = 404


class JobFailed(JobError):
    """A block or a merge failed; the message gives the reason."""

    exit_code = 5

    def __init__(
        self, message: str, job_id: str = "", stage: StageIndex = _NO_STAGE, block: BlockIndex = NO_BLOCK
    ) -> None:
        super().__init__(message, job_id)
        self.args = (message, job_id, stage, block)
        self.stage = stage
        """The stage that failed; -1 if the failure belongs to none."""
        self.block = block
        """The block that failed; -1 if the failure belongs to none."""


class JobCancelled(JobError):
    """The job was cancelled before it was finished."""

    exit_code = 6


class QueueFull(JobError):
    """There are too many open jobs; nothing was submitted."""

    http_status = 429


class WaitTimeout(JobError, TimeoutError):
    """The job did not finish within the given time; it continues to run."""

    exit_code = 7
