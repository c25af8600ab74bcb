"""Settings chosen on validation data: the same number of trials over the same shared space for every arm."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from torchdiscern.lab.recipe import Recipe
from torchdiscern.lab.seeds import derived

LEARNING_RATE = (0.1, 3.0)  # times the recipe's
WEIGHT_DECAY = (0.1, 100.0)
NO_DECAY = (1e-6, 1e-2)  # where the recipe has none
DROPOUT = (0.0, 0.6)
STARTUP = 6  # trials drawn at random before the sampler learns from them


def space_of(recipe: Recipe, settings: Mapping[str, Any], own: Mapping[str, tuple[float, float]]) -> Any:
    """What tuning draws: setting to (low, high, whether by its logarithm).

    Learning rate, weight decay and dropout are drawn for every arm that does not fix them, then the arm's own.

    Args:
        recipe: the comparison's.
        settings: the arm's.
        own: the ranges of the arm's own weights.
    """
    decay = recipe.weight_decay
    shared = {
        "learning_rate": (*(recipe.learning_rate * factor for factor in LEARNING_RATE), True),
        "weight_decay": (*((decay * factor for factor in WEIGHT_DECAY) if decay else NO_DECAY), True),
        "dropout": (*DROPOUT, False),
    }
    free = {name: limits for name, limits in shared.items() if name not in settings}
    return free | {name: (low, high, True) for name, (low, high) in own.items()}


class Tuning:
    """The trials of one arm, kept in an SQLite file.

    Each trial is drawn from the arm's name, the trial's number and the trials before it alone, so that neither a
    kill nor the order in which arms are served changes what is drawn.
    """

    def __init__(self, file: Path, arm: str, space: Mapping[str, tuple[float, float, bool]], trials: int) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.arm, self.space, self.trials = arm, dict(space), trials
        self.study = optuna.create_study(
            storage=f"sqlite:///{file}", study_name=arm, direction="maximize", load_if_exists=True
        )

    @property
    def done(self) -> list[FrozenTrial]:
        """The trials that have ended."""
        return self.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.FAIL))

    @property
    def finished(self) -> bool:
        return len(self.done) >= self.trials

    def next(self, defaults: Mapping[str, float]) -> tuple[int, dict[str, float]]:
        """Number and settings of the next trial: first the defaults, one that was broken off again."""
        broken = self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        if broken:
            return broken[0].number, dict(broken[0].params)
        number = len(self.study.get_trials(deepcopy=False))
        if number == 0:
            inside = {
                name: min(max(float(defaults.get(name, low)), low), high)
                for name, (low, high, _) in self.space.items()
            }
            self.study.enqueue_trial(inside)
        self.study.sampler = optuna.samplers.TPESampler(
            seed=derived(number, "trial", self.arm) % 2**32, n_startup_trials=STARTUP
        )
        trial = self.study.ask()
        for name, (low, high, by_logarithm) in self.space.items():
            trial.suggest_float(name, low, high, log=by_logarithm)
        return trial.number, dict(trial.params)

    def tell(self, number: int, value: float | None) -> None:
        """Keeps a trial's validation accuracy; None where its training failed."""
        state = TrialState.FAIL if value is None else TrialState.COMPLETE
        self.study.tell(number, value, state=state, skip_if_finished=True)

    @property
    def best(self) -> dict[str, float]:
        """The settings of the best of the first `trials`; of equals the earliest."""
        ended = [one for one in self.done if one.value is not None][: self.trials]
        if not ended:
            raise ValueError(
                f"tune: none of {len(self.done)} trials of {self.arm} could be trained, expected some; lower "
                "learning_rate in the recipe."
            )
        found = max(ended, key=lambda one: (one.value or 0.0, -one.number))
        return dict(found.params)

    def history(self) -> list[dict[str, Any]]:
        """Every trial's number, value and settings."""
        return [{"trial": one.number, "value": one.value, "settings": dict(one.params)} for one in self.done]
