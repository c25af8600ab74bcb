"""The demo as a newcomer runs it: a real process, real images, a real browser."""

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from rich.console import Console

from torchdiscern import DiscriminabilityLoss
from torchdiscern.lab import demo, demo_page, tables
from torchdiscern.lab.data import Images, digits
from torchdiscern.lab.demo import ARMS, Settings, run_demo, train_seed
from torchdiscern.lab.networks.small import SmallConvNet
from torchdiscern.lab.report.contents import Contents
from torchdiscern.lab.report.page import write_page
from torchdiscern.lab.report.picture import picture

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

    def test_other_images_of_the_same_name_are_told_apart(
        self, finished: tuple[Path, str], tmp_path: Path
    ) -> None:
        shutil.copytree(finished[0], tmp_path / "demo")
        results = json.loads((tmp_path / "demo" / "results.json").read_text())
        results["data"]["fingerprint"] = "0123456789abcdef"
        (tmp_path / "demo" / "results.json").write_text(json.dumps(results))
        with pytest.raises(ValueError, match="other settings, images, arms or versions"):
            run_demo(Settings(seeds=2, epochs=1), tmp_path / "demo", console=Console(quiet=True))

    def test_results_without_their_networks_are_not_shown(
        self, finished: tuple[Path, str], tmp_path: Path
    ) -> None:
        shutil.copytree(finished[0], tmp_path / "demo")
        (tmp_path / "demo" / "networks-1.safetensors").unlink()
        with pytest.raises(ValueError, match=r"networks-1.safetensors is not in .* beside its results; choose"):
            run_demo(Settings(seeds=2, epochs=1), tmp_path / "demo", console=Console(quiet=True))
        (tmp_path / "demo" / "pictures.npz").touch()
        with pytest.raises(ValueError, match=r"\(an earlier version kept pictures.npz"):
            run_demo(Settings(seeds=2, epochs=1), tmp_path / "demo", console=Console(quiet=True))

    def test_a_file_that_is_no_result_is_left_alone(self, tmp_path: Path) -> None:
        (tmp_path / "results.json").write_text("my own notes")
        result = run(*SMALL, out=tmp_path)
        assert result.returncode == 1
        assert "holds something else" in result.stderr
        assert (tmp_path / "results.json").read_text() == "my own notes"

    @pytest.mark.long
    def test_a_folder_of_images(self, tmp_path: Path) -> None:
        found = digits()
        for name in ("3", "8", "5"):
            (tmp_path / "data" / name).mkdir(parents=True)
            rows = (found.labels == int(name)).nonzero().flatten()[:20]
            for row in rows.tolist():
                Image.fromarray(found.tensor()[row, 0].numpy()).save(tmp_path / "data" / name / f"{row}.png")
        result = run("--data", str(tmp_path / "data"), "--seeds", "1", "--epochs", "2", out=tmp_path / "out")
        assert result.returncode == 0, result.stderr
        results = json.loads((tmp_path / "out" / "results.json").read_text())
        assert results["data"]["classes"] == ["3", "5", "8"]
        assert (tmp_path / "out" / "report.html").exists()

    def test_tells_what_is_wrong_with_a_folder(self, tmp_path: Path) -> None:
        for name, images in {"many": 12, "few": 2, "[one]": 1}.items():
            (tmp_path / "data" / name).mkdir(parents=True)
            for index in range(images):
                colour = (index, len(name), images)
                Image.new("RGB", (9, 9), colour).save(tmp_path / "data" / name / f"{index}.png")
        (tmp_path / "data" / "many" / "bad.jpg").write_text("no image")
        refused = run("--data", str(tmp_path / "data"), out=tmp_path / "out")
        assert refused.returncode == 1
        assert "class '[one]' has 1 image(s), expected at least two" in refused.stderr
        assert "many/bad.jpg" in refused.stdout
        assert not (tmp_path / "out").exists()
        shutil.rmtree(tmp_path / "data" / "[one]")
        result = run("--data", str(tmp_path / "data"), "--seeds", "1", "--epochs", "1", out=tmp_path / "out")
        assert result.returncode == 0, result.stderr
        assert "many/bad.jpg" in result.stdout
        assert json.loads((tmp_path / "out" / "results.json").read_text())["data"]["images"] == 14


@dataclass
class Step:
    arm: demo.Arm
    images: torch.Tensor
    labels: torch.Tensor
    weights: torch.Tensor


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[Step]:
    """Every step of every arm with the weights before it; an arm with the loss seems to take twice as long."""
    taken: list[Step] = []
    step = demo.Arm.step

    def recorded(arm: demo.Arm, images: torch.Tensor, labels: torch.Tensor) -> None:
        weights = torch.nn.utils.parameters_to_vector(arm.model.parameters()).detach().clone()
        taken.append(Step(arm, images, labels, weights))
        step(arm, images, labels)
        arm.seconds[-1] = 1.0 if arm.criterion is None else 2.0

    monkeypatch.setattr(demo.Arm, "step", recorded)
    return taken


@pytest.mark.long
@pytest.mark.skipif(
    "TORCHDISCERN_DATA" not in os.environ,
    reason="TORCHDISCERN_DATA names no folder with caltech101/101_ObjectCategories",
)
def test_a_part_of_caltech101(tmp_path: Path) -> None:
    categories = Path(os.environ["TORCHDISCERN_DATA"]).resolve() / "caltech101" / "101_ObjectCategories"
    (tmp_path / "photos").mkdir()
    for name in ("Leopards", "bonsai", "ketch", "sunflower"):
        shutil.copytree(categories / name, tmp_path / "photos" / name)
    result = run("--data", str(tmp_path / "photos"), "--seeds", "2", "--epochs", "5", out=tmp_path / "out")
    assert result.returncode == 0, result.stderr
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert results["data"]["images"] == 200 + 128 + 114 + 85
    assert min(run_["metrics"]["accuracy"] for run_ in results["runs"]) > 0.45  # the largest class has 38%


def test_the_arms_are_the_papers_and_the_recommended_scale_free_one() -> None:
    paper, scale_free = (
        DiscriminabilityLoss(100, **(ARMS[arm] or {})) for arm in ("paper's terms", "scale-free")
    )
    assert repr(paper) == repr(DiscriminabilityLoss(100))
    assert repr(scale_free) == repr(DiscriminabilityLoss.recommended(100))


class TestPairs:
    def test_arms_of_a_seed_share_weights_and_batches(self, steps: list[Step]) -> None:
        runs, _ = train_seed(digits(), Settings(epochs=1), seed=3)
        rounds = [steps[i : i + len(ARMS)] for i in range(0, len(steps), len(ARMS))]
        assert len(rounds) == 14
        for first, *others in rounds:
            assert len({id(step.arm) for step in (first, *others)}) == len(ARMS)
            assert all(torch.equal(step.images, first.images) for step in others)
            assert all(torch.equal(step.labels, first.labels) for step in others)
        assert all(torch.equal(step.weights, rounds[0][0].weights) for step in rounds[0])
        assert not torch.equal(rounds[1][0].weights, rounds[1][1].weights)  # then the losses part them
        starts = Counter(id(step.arm) for step, *_ in rounds)
        assert set(starts.values()) == {4, 5}  # no arm always comes first
        assert [run["metrics"]["time_ratio"] for run in runs] == [1.0, 2.0, 2.0]

    def test_seeds_differ_in_weights_and_order_and_share_the_split(self, steps: list[Step]) -> None:
        for seed in (0, 1):
            train_seed(digits(), Settings(epochs=1), seed)
        first, second = steps[: len(steps) // 2], steps[len(steps) // 2 :]
        assert not torch.equal(first[0].weights, second[0].weights)
        assert not torch.equal(first[0].images, second[0].images)
        seen = [torch.cat([s.images for s in half[:: len(ARMS)]]).flatten(1).sum(1) for half in (first, second)]
        missing = set(seen[0].tolist()) - set(seen[1].tolist())
        assert len(missing) < 20  # of 896: only those of the last batch, which is not filled

    def test_differences_are_taken_seed_by_seed(self, finished: tuple[Path, str]) -> None:
        results = json.loads((finished[0] / "results.json").read_text())
        assert demo._contrasts(list(reversed(results["runs"]))) == results["contrasts"]

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


class TestEvaluate:
    def test_does_not_let_test_images_see_each_other(self) -> None:
        images = digits()
        model = SmallConvNet(1, 10).train()
        pixels, labels = images.tensor().float()[:40] / 255, images.labels[:40]
        model(pixels)  # batch norm learns something
        together = demo.evaluate(model, pixels, labels, 10)["negative_log_likelihood"]
        alone = []
        for row in range(40):
            model.train()
            alone.append(demo.evaluate(model, pixels[row : row + 1], labels[row : row + 1], 10))
        assert sum(one["negative_log_likelihood"] for one in alone) / 40 == pytest.approx(together, rel=1e-5)

    def test_normalisation_is_learnt_on_training_images(self) -> None:
        pixels = torch.randint(0, 100, (20, 3, 4, 4), dtype=torch.uint8)
        pixels[10:] = 255
        images = Images("some", pixels, torch.zeros(20, dtype=torch.int64), ["one", "two"])
        normalised = demo._normalised(pixels, *demo._mean_and_std(images, torch.arange(10)))[:10]
        torch.testing.assert_close(normalised.mean((0, 2, 3)), torch.zeros(3), atol=1e-5, rtol=0)
        torch.testing.assert_close(normalised.std((0, 2, 3)), torch.ones(3), atol=1e-5, rtol=0)


@pytest.fixture
def shown(finished: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Contents:
    """What the report of finished results holds."""
    found: list[Contents] = []

    def write(contents: Contents, page: Path) -> Path:
        found.append(contents)
        return write_page(contents, page)

    shutil.copytree(finished[0], tmp_path / "demo")
    monkeypatch.setattr(demo_page, "write_page", write)
    page = run_demo(Settings(seeds=2, epochs=1), tmp_path / "demo", console=Console(quiet=True))
    assert page == tmp_path / "demo" / "report.html"
    assert page.stat().st_size > 100_000
    return found[0]


class TestReport:
    def test_it_shows_the_networks_of_the_first_seed(self, finished: tuple[Path, str], shown: Contents) -> None:
        results = json.loads((finished[0] / "results.json").read_text())
        metrics = {run_["arm"]: run_["metrics"] for run_ in results["runs"] if run_["seed"] == 0}
        assert [network.name for network in shown.networks] == list(ARMS)
        for network in shown.networks:
            (layer,) = network.layers
            assert network.decisions is not None
            assert network.decisions.accuracy == pytest.approx(metrics[network.name]["accuracy"])
            assert float(layer.impurity.mean()) == pytest.approx(metrics[network.name]["impurity"], abs=1e-5)
            assert layer.divergence == pytest.approx(metrics[network.name]["coverage_divergence"], abs=1e-5)
            assert layer.top.maps is not None
        assert len(shown.files) == 899

    def test_its_table_is_that_of_the_terminal(self, finished: tuple[Path, str], shown: Contents) -> None:
        results = json.loads((finished[0] / "results.json").read_text())
        (table,) = shown.tables
        assert (table.columns, table.rows) == (tables.COLUMNS, tables.rows(results))
        assert table.sentences[:2] == tables.verdicts(results)
        assert "impurity_weight 0.5" in table.sentences[2]
        assert table.sentences[-1].startswith("Mean ± standard deviation over seeds")
        assert any("What this does not show" in note for note in shown.notes)
        assert shown.facts["Repeat it"] == "torchdiscern demo --seeds 2 --epochs 1 --out DIR"
        assert "torch " in shown.facts["Versions"]
        assert "epochs 1" in shown.facts["Settings"]

    def test_two_seeds_of_cross_entropy_judge_what_changed(self, shown: Contents) -> None:
        assert shown.changes is not None
        assert shown.changes.usual is not None
        assert 0 < shown.changes.usual.mean() < 1
        assert shown.changes.usual_name == "cross-entropy, seed 0 and cross-entropy, seed 1"

    def test_the_picture_is_of_the_same_networks(self, finished: tuple[Path, str], shown: Contents) -> None:
        svg = (finished[0] / "features.svg").read_text()
        assert svg == picture(shown.networks, shown.classes)
        for network in shown.networks:
            assert f"mean impurity {network.layers[-1].impurity.mean():.2f}" in svg
