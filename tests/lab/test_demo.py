"""The demo as a newcomer runs it: a real process, real images, a real browser."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from rich.console import Console

from torchdiscern.lab import demo
from torchdiscern.lab.data import digits
from torchdiscern.lab.demo import ARMS, Settings, run_demo, train_seed

SMALL = ["--seeds", "2", "--epochs", "1"]


def run(*arguments: str, out: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "torchdiscern", "demo", "--out", str(out), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    out = tmp_path_factory.mktemp("runs") / "demo"
    result = run(*SMALL, out=out)
    assert result.returncode == 0, result.stderr
    return out, result.stdout


def without_times(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    times = {"milliseconds_per_step", "time_ratio"}
    return [
        run | {"metrics": {name: value for name, value in run["metrics"].items() if name not in times}}
        for run in runs
    ]


class TestRun:
    def test_writes_every_run_with_its_settings(self, finished: tuple[Path, str]) -> None:
        results = json.loads((finished[0] / "results.json").read_text())
        assert results["finished"]
        assert [(run["arm"], run["seed"]) for run in results["runs"]] == [(a, s) for s in (0, 1) for a in ARMS]
        assert results["settings"]["epochs"] == 1
        assert results["data"]["images"] == 1797
        assert {c["metric"] for c in results["contrasts"]} >= {"accuracy", "impurity", "dead_features"}
        for run_ in results["runs"]:
            assert 0.5 < run_["metrics"]["accuracy"] < 1
            assert 0 < run_["metrics"]["impurity"] < 0.9

    def test_prints_what_it_wrote(self, finished: tuple[Path, str]) -> None:
        out, printed = finished
        results = json.loads((out / "results.json").read_text())
        for arm in ARMS:
            accuracies = [100 * r["metrics"]["accuracy"] for r in results["runs"] if r["arm"] == arm]
            line = next(line for line in printed.splitlines() if line.startswith(arm))
            assert f"{sum(accuracies) / 2:.2f}±" in line
        assert "report.html" in printed
        assert max(len(line) for line in printed.splitlines() if str(out) not in line) <= 80

    def test_again_shows_the_results_and_trains_nothing(self, finished: tuple[Path, str]) -> None:
        out, printed = finished
        before = (out / "results.json").read_bytes()
        again = run(*SMALL, out=out).stdout
        assert "nothing was trained" in again
        assert printed.splitlines()[-6:] == again.splitlines()[-6:]
        assert (out / "results.json").read_bytes() == before

    def test_other_settings_never_replace_results_unasked(
        self, finished: tuple[Path, str], tmp_path: Path
    ) -> None:
        out = tmp_path / "demo"
        shutil.copytree(finished[0], out)
        before = (out / "results.json").read_bytes()
        refused = run("--seeds", "1", "--epochs", "2", out=out)
        assert refused.returncode == 1
        assert "holds results of other settings" in refused.stderr
        assert (out / "results.json").read_bytes() == before
        replaced = run("--seeds", "1", "--epochs", "1", "--overwrite", out=out)
        assert "Replacing the results" in replaced.stdout
        assert "too few to say" in " ".join(replaced.stdout.split())
        assert json.loads((out / "results.json").read_text())["settings"]["seeds"] == 1

    def test_goes_on_where_it_was_stopped_and_ends_alike(
        self, finished: tuple[Path, str], tmp_path: Path
    ) -> None:
        out = tmp_path / "demo"
        shutil.copytree(finished[0], out)
        whole = json.loads((out / "results.json").read_text())
        half = whole | {"runs": whole["runs"][: len(ARMS)], "finished": False}
        (out / "results.json").write_text(json.dumps(half))
        result = run(*SMALL, out=out)
        assert "Going on" in result.stdout
        resumed = json.loads((out / "results.json").read_text())
        assert resumed["finished"]
        assert without_times(resumed["runs"]) == without_times(whole["runs"])

    def test_a_file_that_is_no_result_is_left_alone(self, tmp_path: Path) -> None:
        (tmp_path / "results.json").write_text("my own notes")
        result = run(*SMALL, out=tmp_path)
        assert result.returncode == 1
        assert "holds something else" in result.stderr
        assert (tmp_path / "results.json").read_text() == "my own notes"

    def test_a_folder_of_images(self, tmp_path: Path) -> None:
        found = digits()
        for name in ("3", "8", "5"):
            (tmp_path / "data" / name).mkdir(parents=True)
            rows = (found.labels == int(name)).nonzero().flatten()[:20]
            for row in rows.tolist():
                Image.fromarray(found.pixels[row, 0].numpy()).save(tmp_path / "data" / name / f"{row}.png")
        result = run("--data", str(tmp_path / "data"), "--seeds", "1", "--epochs", "2", out=tmp_path / "out")
        assert result.returncode == 0, result.stderr
        results = json.loads((tmp_path / "out" / "results.json").read_text())
        assert results["data"]["classes"] == ["3", "5", "8"]
        assert (tmp_path / "out" / "report.html").exists()


class TestPairs:
    def test_arms_of_a_seed_share_weights_and_batches(self, monkeypatch: pytest.MonkeyPatch) -> None:
        seen: dict[int, list[tuple[Any, ...]]] = {}
        step = demo.Arm.step

        def recorded(arm: demo.Arm, images: torch.Tensor, labels: torch.Tensor) -> None:
            weights = [p.detach().clone() for p in arm.model.parameters()] if id(arm) not in seen else []
            seen.setdefault(id(arm), []).append((images, labels, weights))
            step(arm, images, labels)

        monkeypatch.setattr(demo.Arm, "step", recorded)
        train_seed(digits(), Settings(epochs=1), seed=3)
        first, *others = seen.values()
        assert len(others) == len(ARMS) - 1
        for other in others:
            assert len(other) == len(first) == 14
            for (x, y, weights), (x2, y2, weights2) in zip(first, other, strict=True):
                assert torch.equal(x, x2)
                assert torch.equal(y, y2)
                assert all(torch.equal(w, w2) for w, w2 in zip(weights, weights2, strict=True))

    def test_label_noise_reaches_training_labels_only(self) -> None:
        clean, noisy = (
            train_seed(digits(), Settings(epochs=4, label_noise=share), seed=0)[0][0]["metrics"]
            for share in (0.0, 0.6)
        )
        assert noisy["accuracy"] < clean["accuracy"]
        assert noisy["accuracy"] > 0.5  # tested on noisy labels, it could not be

    def test_without_the_loss_the_arms_are_the_same(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(
            demo, "ARMS", {"cross-entropy": None, "nothing": {"impurity_weight": 0, "kl_weight": 0}}
        )
        base, same = train_seed(digits(), Settings(epochs=1), seed=0)[0]
        assert without_times([base])[0]["metrics"] == without_times([same])[0]["metrics"]


def test_from_python(finished: tuple[Path, str]) -> None:
    out, _ = finished
    page = run_demo(Settings(seeds=2, epochs=1), out, console=Console(quiet=True))
    assert page == out / "report.html"
