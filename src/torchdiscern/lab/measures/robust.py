"""Accuracy under attack: how many images no attack within some radius can turn."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from torchdiscern import checks
from torchdiscern.lab.measures.attacks import Attacked, attacked_of, descent
from torchdiscern.lab.measures.table import ATTACKED, OF_FEATURES, OF_PIXELS, Norm
from torchdiscern.lab.training.measure import Reader

STEPS = 40
RESTARTS = 2
QUICK = 10  # steps of a first attack that takes out whatever falls easily
# of each image over all radii, where no attack turns it
STEPS_AT_MOST = (QUICK + 2 * RESTARTS * STEPS) * sum(map(len, OF_PIXELS.values()))


def survivors(
    attacked: Attacked,
    norm: Norm,
    radii: Sequence[float],
    *,
    steps: int = STEPS,
    restarts: int = RESTARTS,
) -> dict[float, Tensor]:
    """Which inputs stay right under every attack up to each radius.

    Each radius starts with a short descent on the margin; what it leaves is attacked in full, on the margin and
    on cross-entropy, from the input itself and from random starts. An input that one attack has turned is out,
    there and at all larger radii, so that the result never grows with the radius.

    Args:
        attacked: the network and its inputs.
        norm: `"l2"` or `"linf"`.
        radii: above 0.
        steps: of each full descent.
        restarts: descents on each loss, the first from the input.

    Returns:
        For each radius, ascending, `[n]` booleans.
    """
    checks.check_whole(restarts, "restarts", low=1, hint="pass how often the attack starts")
    for radius in radii:
        if not checks.check_number(radius, "radii") > 0:
            raise ValueError(f"radii: got {radius:g}, expected radii above 0; leave it out.")
    every = torch.arange(len(attacked.target))
    left = every[attacked.right(attacked.inputs, every)]
    found = {}
    plan = [("margin", QUICK, 0)] if steps > QUICK else []
    plan += [(loss, steps, start) for start in range(restarts) for loss in ("margin", "cross_entropy")]
    for radius in sorted(radii):
        for loss, number, start in plan:
            turned = descent(
                attacked, left, norm, radius, loss=loss, steps=number, random_start=start > 0, name=str(start)
            )
            left = left[attacked.right(turned, left)]
        found[radius] = torch.isin(every, left)
    return found


def robust_of(
    attacked: Attacked,
    radii: Mapping[Norm, Mapping[str, float]] | None = None,
    *,
    steps: int = STEPS,
    restarts: int = RESTARTS,
) -> dict[str, float]:
    """Accuracy under the worst of the attacks at each radius; see `survivors`.

    Args:
        attacked: the network and its inputs.
        radii: for `"l2"` and `"linf"`, how each radius is called and how large it is; by default 1, 2, 4 and
            0.02, 0.05, 0.1 for features, 0.125, 0.25, 0.5 and 1/255, 2/255, 4/255 for pixels.
        steps: of each descent.
        restarts: descents on each loss.

    Returns:
        `robust_l2_RADIUS` and `robust_linf_RADIUS`, in [0, 1], a share of all inputs.

    Source: Madry et al., 2018; the margin beside cross-entropy and the worst case over attacks after Carlini et
    al., "On evaluating adversarial robustness", 2019.

    Example:
        >>> linear = torch.nn.Linear(2, 2, bias=False)
        >>> _ = linear.weight.data.copy_(torch.tensor([[1.0, 0.0], [-1.0, 0.0]]))
        >>> inputs = torch.tensor([[0.5, 0.0], [3.0, 0.0]])  # as far from the other class
        >>> robust_of(Attacked(linear, inputs, torch.tensor([0, 0]), 2), {"l2": {"1": 1.0, "4": 4.0}})
        {'robust_l2_1': 0.5, 'robust_l2_4': 0.0}
    """
    if not len(attacked.target):
        raise ValueError("attacked: got no input, expected at least one; pass some.")
    found: dict[str, float] = {}
    for norm, sizes in (radii or (OF_PIXELS if attacked.pixels else OF_FEATURES)).items():
        stayed = survivors(attacked, norm, tuple(sizes.values()), steps=steps, restarts=restarts)
        found |= {f"robust_{norm}_{name}": float(stayed[size].double().mean()) for name, size in sizes.items()}
    return found


def robust_accuracy(
    reader: Reader,
    *,
    images: int = ATTACKED,
    radii: Mapping[Norm, Mapping[str, float]] | None = None,
    steps: int = STEPS,
    restarts: int = RESTARTS,
) -> dict[str, float]:
    """`robust_of` for at most `images` test images of a trained network, the same for every arm of a seed."""
    return robust_of(attacked_of(reader, images), radii, steps=steps, restarts=restarts)
