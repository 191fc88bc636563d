"""Where cost models are kept: in the ledger for jobs on workers, in a file of the state folder for work in this process."""

from __future__ import annotations

import json
import logging
from pathlib import Path

from lepton_celery.config import state_directory
from lepton_celery.errors import BrokerUnreachable, LeptonError
from lepton_celery.ledger.base import Ledger
from lepton_celery.planning.cost.model import CostModel
from lepton_celery.planning.cost.refine import refine
from lepton_celery.planning.plan import Plan

FILE = "costs.json"

log = logging.getLogger(__name__)


def of_workers(ledger: Ledger, profile: str) -> CostModel:
    """The model that the ledger keeps for workers of a profile; else this folder's, else the shipped one.

    Raises:
        BrokerUnreachable: the ledger does not answer.
    """
    return _of_ledger(ledger, profile) or of_folder()


def _of_ledger(ledger: Ledger, profile: str) -> CostModel | None:
    try:
        document = ledger.costs(profile)
        return None if document is None else CostModel.from_json(document)
    except BrokerUnreachable:
        raise
    except LeptonError as error:  # damaged, or of another release: as if there were none
        log.warning("the cost model of %s is left aside: %s", profile, error)
        return None


def of_folder(folder: Path | None = None) -> CostModel:
    """The model of a state folder, this one's unless another is named; else the shipped one."""
    path = (folder or state_directory()) / FILE
    try:
        return CostModel.from_json(json.loads(path.read_text(encoding="utf-8")))
    except OSError:
        return CostModel()
    except (ValueError, LeptonError) as error:
        log.warning("the cost model %s is left aside: %s", path, error)
        return CostModel()


def keep_in_folder(model: CostModel | None, folder: Path | None = None) -> Path:
    """Keep a model for work in this process; None removes it. Gives the file back."""
    path = (folder or state_directory()) / FILE
    if model is None:
        path.unlink(missing_ok=True)
        return path
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{FILE}.{id(model)}")
    draft.write_text(json.dumps(model.to_json()), encoding="utf-8")
    draft.replace(path)
    return path


def keep(ledger: Ledger, profile: str, model: CostModel | None) -> None:
    """Keep a model for workers of a profile; None removes it."""
    ledger.keep_costs(profile, None if model is None else model.to_json())


def learn(ledger: Ledger, profile: str, plan: Plan, job_id: str) -> None:
    """Refine the model of a profile by a job that is done. Of two jobs that end at once, one may be lost."""
    try:
        model = _of_ledger(ledger, profile) or CostModel()
        keep(ledger, profile, refine(model, plan, ledger.info(job_id)))
    except (ArithmeticError, LookupError, ValueError, LeptonError):  # the job has done its work, and does not need this
        log.exception("job %s: the cost model is not refined", job_id)
