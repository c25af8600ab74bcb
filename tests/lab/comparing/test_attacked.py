"""A comparison whose networks are attacked: real runs on the digits, one epoch each."""

import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from torchdiscern.lab import Recipe, Results, compare
from torchdiscern.lab.comparing.design import NOT_JUDGED, Design, chosen_arms, expected

RECIPE = Recipe.named("digits").with_settings(epochs=1, width=4)
FEW = 8
DESIGN = Design(RECIPE, chosen_arms(["ce", "gini"]), (0,), robust=True)


def done(folder: Path, **options: Any) -> Results:
    return compare(RECIPE, ["gini"], 1, out=folder, robust=True, console=Console(quiet=True), **options)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("attacked") / "digits"
    done(path, attacked=FEW)
    return path


def test_as_many_images_are_attacked_as_was_said(folder: Path) -> None:
    runs = json.loads((folder / "results.json").read_text())["runs"]
    for run in runs:
        shares = [value for name, value in run["metrics"].items() if name.startswith("robust_")]
        assert len(shares) == 6
        assert set(run["metrics"]) - set(NOT_JUDGED) <= expected(DESIGN)
        assert {name for name in expected(DESIGN) if name.startswith("robust_")} <= set(run["metrics"])
        assert all(FEW * share == round(FEW * share) for share in shares)


def test_every_network_of_the_first_seed_is_checked_on_them_for_masked_gradients(folder: Path) -> None:
    checks = {path.stem: json.loads(path.read_text()) for path in (folder / "checks").iterdir()}
    assert set(checks) == {"ce-0", "gini-0"}
    assert set(checks["gini-0"]["attacks"]) == {"more_steps", "noise", "decision", "transfer_ce"}
    assert {attack["images"] for check in checks.values() for attack in check["attacks"].values()} == {FEW}


def test_another_number_of_images_is_another_comparison(folder: Path) -> None:
    with pytest.raises(ValueError, match="holds a comparison with attacked=8, expected 500 to add to it"):
        done(folder)


def test_a_folder_that_does_not_say_how_many_attacked_five_hundred(folder: Path, tmp_path: Path) -> None:
    kept = json.loads((folder / "comparison.json").read_text())
    del kept["attacked"]
    (tmp_path / "comparison.json").write_text(json.dumps(kept))
    with pytest.raises(ValueError, match="with attacked=500, expected 8"):
        done(tmp_path, attacked=FEW, plan_only=True)
    done(tmp_path, plan_only=True)


def test_attacking_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="attacked: got 0"):
        done(tmp_path, attacked=0)
