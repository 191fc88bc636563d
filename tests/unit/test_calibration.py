"""Quick calibration with real functions and stores."""

from __future__ import annotations

from pathlib import Path

import pytest

from lepton_celery.calibration import measure as calibration
from lepton_celery.calibration import workloads
from lepton_celery.calibration.observations import Observations, fitted
from lepton_celery.catalogue import get_entry
from lepton_celery.graph.nodes import apply
from lepton_celery.graph.nodes import open as open_image
from lepton_celery.planning.cost.model import Figure
from lepton_celery.stores.workspace import DiskWorkspace, workspace_root


def test_a_line_is_fitted_with_relative_errors() -> None:
    rows = {(1.0, 1e3, 5e3): 0.0, (1.0, 1e6, 5e6): 0.0, (1.0, 1e6, 9e7): 0.0, (4.0, 1e6, 0.0): 0.0}
    told = {row: (row[0] * 5e4 + row[1] * 2 + row[2] * 0.25) * 1e-9 for row in rows}
    figure = fitted(told)
    assert (figure.call_ns, figure.unit_ns, figure.tap_ns) == pytest.approx((5e4, 2, 0.25), rel=1e-3)
    assert figure.seconds == pytest.approx(sum(told.values()))


def test_no_figure_is_negative() -> None:
    figure = fitted({(1.0, 1e3, 0.0): 1e-3, (1.0, 1e6, 0.0): 0.9e-3})
    assert min(figure.call_ns, figure.unit_ns, figure.tap_ns) >= 0


def test_the_quickest_of_equal_runs_counts() -> None:
    observed = Observations()
    for seconds in (0.5, 0.2, 0.9):
        observed.add("write", "npy float32", 4, 1e6, 0, seconds)
    assert observed.figures()["write"]["npy float32"].seconds_for(1e6, calls=4) == pytest.approx(0.2)


def test_functions_are_measured_under_the_keys_of_their_predictions() -> None:
    observed = Observations()
    image = open_image(workloads.photograph((128, 128), "float32"))
    for sigma in (1, 6):
        calibration.observe([apply("filters.gaussian", image, sigma=sigma)], observed)
    rows = observed.rows["compute", "filters.gaussian float32"]
    assert sorted(row[2] / row[1] for row in rows) == [2 * (2 * 4 + 1), 2 * (2 * 24 + 1)]
    assert all(0 < seconds < 1 for seconds in rows.values())


def test_partials_and_merges_are_measured_too(tmp_path: Path) -> None:
    observed = Observations()
    workspace = DiskWorkspace(workspace_root(tmp_path, "calibration"), "calibration")
    calibration.observe(workloads.objects(64), observed, divisions=2, workspace=workspace)
    kinds = {kind for kind, key in observed.rows if key.startswith("lepton.label_blocks")}
    assert kinds == {"compute", "partial", "merge"}
    assert not (tmp_path / "w").exists()


@pytest.mark.parametrize("kind", ["npy", "zarr", "tiff", "picture"])
def test_stores_are_measured_by_reading_and_writing_files(kind: str, tmp_path: Path) -> None:
    observed = Observations()
    calibration.measure_store(kind, workloads.photograph((64, 64), "uint8"), 32, observed, tmp_path)
    assert {"read", "write", "reserve", "publish"} == {found for found, _ in observed.rows}
    figures = observed.figures()
    assert figures["write"][f"{kind} uint8"].seconds_for(4096, calls=4) > 0


def test_the_speed_of_a_machine_is_the_typical_ratio_to_the_catalogue(monkeypatch: pytest.MonkeyPatch) -> None:
    def three_times(self: Observations) -> dict[str, dict[str, Figure]]:
        keys = {key: get_entry(key.partition(" ")[0]) for kind, key in self.rows if kind == "compute"}
        assert len(keys) > 3
        return {"compute": {key: Figure(3 * entry.cost_ns, 0, 3 * entry.tap_ns) for key, entry in keys.items()}}

    monkeypatch.setattr(Observations, "figures", three_times)
    assert calibration.measure_speed() == pytest.approx(3)


def test_contention_is_the_clocks_time_over_the_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu_s = iter([5.0, 5.0, 5.05, 5.2, 5.2])  # before, at each check, and at the end
    clock_s = iter([100.0, 100.6])
    monkeypatch.setattr("time.thread_time", lambda: next(cpu_s))
    monkeypatch.setattr("time.monotonic", lambda: next(clock_s))
    monkeypatch.setattr(calibration, "observe", lambda nodes, observations: None)
    assert calibration.measure_contention() == pytest.approx(3.0)
