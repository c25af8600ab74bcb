"""Settings chosen on validation data: the same number of trials over the same shared space for every arm."""

import random
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
STARTUP = 6  # trials before the sampler learns from them: the defaults, then random ones


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

    A trial is written once it has ended, in one piece. What it draws follows from its number and the arm's trials
    before it alone: neither a kill nor the order in which arms are served changes it. The first trials take the
    same learning rates, weight decays and dropouts for every arm, so that none has the better luck there.

    Args:
        file: the SQLite file.
        arm: whose trials.
        space: what is drawn, as `space_of` gives it; None for reading alone, which leaves the file as it is.
        trials: how many there shall be.
    """

    def __init__(
        self, file: Path, arm: str, space: Mapping[str, tuple[float, float, bool]] | None, trials: int
    ) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.arm, self.space, self.trials = arm, dict(space or {}), trials
        storage = f"sqlite:///{file}"
        kept = space is not None or (file.exists() and arm in optuna.get_all_study_names(storage))
        self.study = optuna.create_study(
            storage=storage if kept else None, study_name=arm, direction="maximize", load_if_exists=True
        )

    @property
    def done(self) -> list[FrozenTrial]:
        """The trials that have ended, in their order."""
        return self.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.FAIL))

    @property
    def finished(self) -> bool:
        return len(self.done) >= self.trials

    def next(self, defaults: Mapping[str, float]) -> tuple[int, dict[str, float]]:
        """Number and settings of the next trial; the first one takes the defaults."""
        done = self.done
        if not done:
            return 0, {
                name: min(max(float(defaults.get(name, low)), low), high)
                for name, (low, high, _) in self.space.items()
            }
        if len(done) < STARTUP:
            return len(done), {name: self._random(len(done), name) for name in self.space}
        seed = derived(len(done), "trial") % 2**32
        sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=STARTUP)
        drawn = optuna.create_study(direction="maximize", sampler=sampler)  # in memory: nothing is half written
        drawn.add_trials(done)
        return len(done), dict(drawn.ask(self._distributions()).params)

    def _random(self, number: int, name: str) -> float:
        low, high, by_logarithm = self.space[name]
        share = random.Random(derived(number, "trial", name)).random()
        drawn = low * (high / low) ** share if by_logarithm else low + (high - low) * share
        return min(drawn, high)  # rounding may lead past it

    def tell(self, settings: Mapping[str, float], value: float | None) -> None:
        """Keeps a trial with its validation accuracy; None where its training failed."""
        trial = optuna.trial.create_trial(
            state=TrialState.FAIL if value is None else TrialState.COMPLETE,
            value=value,
            params=dict(settings),
            distributions=dict(self._distributions()),
        )
        self.study.add_trial(trial)

    @property
    def best(self) -> dict[str, float] | None:
        """The settings of the best of the first `trials`, of equals the earliest; None where all failed."""
        ended = [one for one in self.done[: self.trials] if one.value is not None]
        if not ended:
            return None
        return dict(max(ended, key=lambda one: (one.value or 0.0, -one.number)).params)

    def history(self) -> list[dict[str, Any]]:
        """Every trial's place, value and settings."""
        return [
            {"trial": place, "value": one.value, "settings": dict(one.params)}
            for place, one in enumerate(self.done)
        ]

    def _distributions(self) -> dict[str, Any]:
        return {
            name: optuna.distributions.FloatDistribution(low, high, log=by_logarithm)
            for name, (low, high, by_logarithm) in self.space.items()
        }
