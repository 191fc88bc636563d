"""The `lepton` command, which is also `celery -A APP lepton`.

`commands` has the group. Each other module has commands and is imported when one of them runs. May import: all layers
below. Only the commands of web frameworks in `contrib` import this.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lepton_celery.cli.commands import lepton as lepton


def main() -> None:
    """Entry point of the `lepton` command."""
    try:
        from lepton_celery.cli.process import run_process  # here, so that Ctrl-C is no traceback while it is imported
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    run_process()


def __getattr__(name: str) -> Any:
    if name != "lepton":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from lepton_celery.cli.commands import lepton

    return lepton
