"""The `lepton` command, which is also `celery -A APP lepton`.

`commands` has the group. Each other module has commands and is imported when one of them runs. May import: everything.
Nothing else imports this.
"""

from __future__ import annotations

from lepton_celery.cli.commands import lepton, main

__all__ = ["lepton", "main"]
