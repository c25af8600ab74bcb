"""The learning rate as a function of the step, so that a resumed run needs nothing restored."""

import math

from torchdiscern.lab.recipe import Recipe


def learning_rate(recipe: Recipe, step: int, steps_an_epoch: int) -> float:
    """The learning rate of a step, counted from 0.

    Example:
        >>> recipe = Recipe(schedule="steps", milestones=(2, 4), decay=0.1, learning_rate=1.0, epochs=5)
        >>> [round(learning_rate(recipe, step, 10), 4) for step in (0, 19, 20, 40)]
        [1.0, 1.0, 0.1, 0.01]
    """
    warm = recipe.warmup_epochs * steps_an_epoch
    if step < warm:
        return recipe.learning_rate * (step + 1) / (warm + 1)
    if recipe.schedule == "steps":
        passed = sum(step >= milestone * steps_an_epoch for milestone in recipe.milestones)
        return float(recipe.learning_rate * recipe.decay**passed)
    if recipe.schedule == "cosine":
        left = max(1.0, recipe.epochs * steps_an_epoch - warm)
        share = (1 + math.cos(math.pi * min(1.0, (step - warm) / left))) / 2
        return recipe.final_learning_rate + (recipe.learning_rate - recipe.final_learning_rate) * share
    return recipe.learning_rate
