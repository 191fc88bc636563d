"""Keeps cost models: in the ledger for jobs on workers, in a file of the state folder for work in this process."""

from __future__ import annotations

import json
from pathlib import Path

from lepton_celery.config import state_directory
from lepton_celery.errors import InputError, JobError, LeptonError
from lepton_celery.ledger import Ledger
from lepton_celery.planning.cost.model import CostModel
from lepton_celery.planning.cost.refine import refine
from lepton_celery.planning.plan import Plan
from lepton_celery.stores.documents import write_atomically
from lepton_celery.text import logger

FILE = "costs.json"

log = logger(__name__)


def model_of_workers(ledger: Ledger, profile: str) -> CostModel:
    """The model that the ledger keeps for workers of a profile; else this folder's, else the shipped one.

    Raises:
        BrokerUnreachable: the ledger does not answer.
    """
    return _model_in_ledger(ledger, profile) or model_of_folder()


def _model_in_ledger(ledger: Ledger, profile: str) -> CostModel | None:
    try:
        document = ledger.costs(profile)
        return None if document is None else CostModel.from_json(document)
    except (InputError, JobError) as error:  # damaged, or of another release: treated as missing
        log.warning("the cost model of profile %s is ignored: %s", profile, error)
        return None


def model_of_folder() -> CostModel:
    """The model of this process's state folder, else the shipped one."""
    path = state_directory() / FILE
    try:
        return CostModel.from_json(json.loads(path.read_text(encoding="utf-8")))
    except OSError:
        pass
    except (ValueError, LeptonError) as error:
        log.warning("the cost model %s is ignored: %s", path, error)
    return CostModel()


def save_to_folder(model: CostModel | None) -> Path:
    """Save a model for work in this process, or remove it with None; returns the file."""
    path = state_directory() / FILE
    if model is None:
        path.unlink(missing_ok=True)
        return path
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_atomically(path, json.dumps(model.to_json()).encode())
    return path


def save_for_workers(ledger: Ledger, profile: str, model: CostModel | None) -> None:
    """Save a model for workers of a profile; None removes it."""
    ledger.keep_costs(profile, None if model is None else model.to_json())


def learn(ledger: Ledger, profile: str, plan: Plan, job_id: str) -> None:
    """Refine the model of a profile by a finished job; of two jobs that end at the same time, one may be ignored."""
    try:
        model = _model_in_ledger(ledger, profile) or CostModel()
        save_for_workers(ledger, profile, refine(model, plan, ledger.info(job_id)))
    except (ArithmeticError, LookupError, ValueError, LeptonError):  # the job itself is finished
        log.exception("job %s: the cost model is not refined", job_id)
