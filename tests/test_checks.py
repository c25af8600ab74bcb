"""Every bad input gets one sentence: which argument, what came, what was expected, what to do."""

import math
import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor

from torchdiscern import DiscriminabilityLoss, functional, inputs

X = torch.rand(4, 3)
Y = torch.tensor([0, 1, 2, 1])
loss = cast(Any, DiscriminabilityLoss)  # wrong types are the subject here

X5 = torch.rand(4, 3, 5)


def call(features: Any = X, target: Any = Y, **settings: Any) -> Callable[[], object]:
    return lambda: loss(**{"num_classes": 3} | settings)(features, target)


def with_(features: Any = X, target: Any = Y, **arguments: Any) -> Callable[[], object]:
    return lambda: loss(3)(features, target, **arguments)


BAD_INPUTS: list[tuple[str, Callable[[], object], type[Exception], str]] = [
    # the target
    ("target too large", call(target=torch.tensor([0, 1, 3, 1])), ValueError, r"target.* 3, .*\[0, 3\)"),
    (
        "tokens last",
        call(torch.rand(4, 6, 5), torch.zeros(4, 6).long()),
        ValueError,
        "target.*; pass feature_dim=-1",
    ),
    (
        "tokens of pooled features",
        call(target=torch.zeros(4, 6).long()),
        ValueError,
        "target.*features of each pos",
    ),
    ("target negative", call(target=torch.tensor([0, -1, 2, 1])), ValueError, r"target.* -1, .*\[0, 3\)"),
    (
        "target marked otherwise",
        call(target=torch.tensor([0, -100, 2, 1]), ignore_index=-1),
        ValueError,
        "pass ignore_index=-100",
    ),
    ("target of floats", call(target=torch.rand(4)), TypeError, r"target.*float32.*\.long\(\)"),
    ("target of booleans", call(target=torch.ones(4, dtype=torch.bool)), TypeError, "target.*bool"),
    ("target one-hot", call(target=torch.eye(4, 3).long()), ValueError, r"target.*\[4, 3\].*argmax"),
    ("shares of other classes", call(target=torch.rand(4, 2)), ValueError, r"target.*\[4, 2\].*\[4, 3\]"),
    ("shares negative", call(target=torch.eye(4, 3) - 0.5), ValueError, r"target.*-0\.5.*at least 0"),
    ("shares NaN", call(target=torch.eye(4, 3) / 0), ValueError, "target.*share NaN"),
    ("shares compressed", call(target=torch.eye(4, 3).to_sparse_csr()), TypeError, "target.*sparse_coo"),
    ("labels as integers", call(X5, torch.eye(4, 3).long()), ValueError, r"target.*\.bool\(\)"),
    ("positions of another map", call(X5, torch.zeros(4, 6).long()), ValueError, r"target.*\[4, 6\].*\[4, 5\]"),
    ("weight of another length", with_(weight=torch.ones(3)), ValueError, r"weight.*\[3\].*\[4\]"),
    ("weight negative", with_(weight=-torch.ones(4)), ValueError, "weight.*-1"),
    ("weight a number", with_(weight=2.0), TypeError, r"weight.*2\.0"),
    ("weight elsewhere", with_(weight=torch.ones(4, device="meta")), ValueError, "weight.*meta"),
    ("mask of floats", with_(X5, mask=torch.ones(4, 5)), TypeError, "mask.*float32"),
    ("mask without positions", with_(mask=torch.ones(4, dtype=torch.bool)), ValueError, "mask.*no positions"),
    ("mask of another shape", with_(X5, mask=torch.ones(4, 6) > 0), ValueError, r"mask.*\[4, 6\].*\[4, 5\]"),
    # classes
    ("class counts too few", call(class_counts=[1, 2]), ValueError, r"class_counts.*\[2\].*\[3\]"),
    ("class counts negative", call(class_counts=[1, 2, -3]), ValueError, "class_counts.*-3"),
    ("class counts of nothing", call(class_counts=[0, 0, 0]), ValueError, "class_counts.*no sample"),
    ("class counts words", call(class_counts=["a", "b", "c"]), TypeError, "class_counts.*list"),
    ("counts and prior", call(class_counts=[1, 2, 3], prior="uniform"), ValueError, "class_counts.*uniform"),
    ("class weight too long", call(class_weight=torch.ones(4)), ValueError, r"class_weight.*\[4\].*\[3\]"),
    ("map too short", call(fine_to_coarse=[0, 1]), ValueError, r"fine_to_coarse.*\[2\].*\[3\]"),
    ("map to one class", call(fine_to_coarse=[0, 0, 0]), ValueError, "fine_to_coarse.*0 to 0"),
    ("map of a layer wrong", call(fine_to_coarse=[None, [0, 1, 5]]), ValueError, r"fine_to_coarse\[1\].*0 to 5"),
    ("map of words", call(fine_to_coarse="abc"), TypeError, "fine_to_coarse.*'abc'"),
    ("maps too many", call(fine_to_coarse=[None, [0, 1, 1]]), ValueError, "fine_to_coarse.*2 maps for 1 layer"),
    # memory
    ("memory without width", call(memory=0.9), ValueError, "num_features.*None"),
    ("memory of one", call(memory=1.0, num_features=3), ValueError, r"memory.*1\.0.*below 1"),
    ("width without memory", call(num_features=3), ValueError, r"memory.*got 0.*memory=0\.9"),
    ("memory of another width", call(memory=0.9, num_features=4), ValueError, r"num_features.*\[4\].*\[3\]"),
    ("memory of other layers", call([X, X], memory=0.9, num_features=3), ValueError, r"num_features.*\[3, 3\]"),
    ("memory of no width", call(memory=0.9, num_features=[]), ValueError, "num_features.*none"),
    ("age of zero", call(memory=0.9, num_features=3, memory_age=0), ValueError, "memory_age.*0"),
    (
        "memory too large",
        call(num_classes=1_000_000, memory=0.9, num_features=2048),
        ValueError,
        r"memory.*1,000,000 classes by 2,048 features take 7\.63 GiB.*memory_gib=8",
    ),
    ("target a column", call(target=Y[:, None]), ValueError, r"target.*\[4, 1\].*flatten"),
    ("target too short", call(target=Y[:3]), ValueError, "target.*3 class indices for 4 samples"),
    ("target a list", call(target=[0, 1, 2, 1]), TypeError, "target.*list.*as_tensor"),
    ("target elsewhere", call(target=Y.to("meta")), ValueError, r"target.*meta.*cpu.*\.to\("),
    # the features
    ("features of one axis", call(features=torch.rand(4)), ValueError, r"features.*\[4\].*unsqueeze"),
    ("features of integers", call(features=torch.ones(4, 3).long()), TypeError, r"features.*int64.*float"),
    (
        "features complex",
        call(features=torch.ones(4, 3, dtype=torch.complex64)),
        TypeError,
        "features.*complex64",
    ),
    ("no samples", call(features=torch.rand(0, 3), target=Y[:0]), ValueError, r"features.*empty.*\[0, 3\]"),
    ("no features", call(features=torch.rand(4, 0)), ValueError, r"features.*empty.*\[4, 0\]"),
    ("no positions", call(features=torch.rand(4, 3, 0)), ValueError, r"features.*empty.*\[4, 3, 0\]"),
    ("features no tensor", call(features=3.0), TypeError, r"features.*3\.0.*float"),
    ("features a name", call(features="layer4"), TypeError, "features.*'layer4'.*str"),
    ("a layer no tensor", call(features=[X, None]), TypeError, r"features\[1\].*None"),
    (
        "a layer of another batch",
        call(features=[X, X[:2]]),
        ValueError,
        r"4 class.* 2 samples in features\[1\]",
    ),
    ("a named layer wrong", call(features={"layer4": X[0]}), ValueError, r"features\['layer4'\].*\[3\]"),
    ("features a tap", call(features=object()), TypeError, r"features.*object.*tap\.features"),
    ("no layer", call(features=[]), ValueError, "features.*no layer"),
    ("no such axis", call(feature_dim=2), ValueError, "feature_dim.*got 2"),
    ("the samples' axis", call(feature_dim=0), ValueError, "feature_dim.*got 0"),
    ("the samples' axis, from behind", call(feature_dim=-2), ValueError, "feature_dim.*got -2"),
    # the settings
    ("one class", call(num_classes=1), ValueError, "num_classes.*got 1.*at least 2"),
    ("classes as a float", call(num_classes=10.0), TypeError, r"num_classes.*10\.0.*whole number"),
    ("classes as a boolean", call(num_classes=True), TypeError, "num_classes.*True"),
    ("classes as a tensor", call(num_classes=torch.tensor(3)), TypeError, "num_classes.*a tensor"),
    ("classes as an array", call(num_classes=np.array([3, 4])), TypeError, "num_classes.*ndarray"),
    ("axis a word", call(feature_dim="last"), TypeError, "feature_dim.*'last'"),
    ("weights an array", call(kl_weight=np.array([0.5, -1.0])), ValueError, r"kl_weight\[1\].*-1"),
    ("prior of words", call(prior=["a", "b", "c"]), TypeError, "prior.*list.*something else than numbers"),
    ("weight negative", call(impurity_weight=-0.5), ValueError, r"impurity_weight.*-0\.5.*at least 0"),
    ("weight NaN", call(kl_weight=math.nan), ValueError, "kl_weight.*nan.*finite"),
    ("weight infinite", call(kl_weight=math.inf), ValueError, "kl_weight.*inf.*finite"),
    ("weight a word", call(kl_weight="much"), TypeError, "kl_weight.*'much'.*number"),
    ("weight none", call(kl_weight=None), TypeError, "kl_weight.*None.*number"),
    ("a layer's weight negative", call(kl_weight=[0.5, -1]), ValueError, r"kl_weight\[1\].*-1"),
    ("no weights", call(kl_weight=[]), ValueError, "kl_weight.*no weight"),
    ("too many weights", call(kl_weight=[0.5, 0.5]), ValueError, "kl_weight.*2 weights for 1 layer"),
    ("too few weights", call([X, X, X], impurity_weight=[1, 2]), ValueError, "impurity_weight.*2 .*3 layers"),
    ("weights at odds", call(impurity_weight=[1, 2, 3], kl_weight=[1, 2]), ValueError, "kl_weight.*2 .*3 l"),
    ("impurity unknown", call(impurity="ginni"), ValueError, "impurity.*'ginni'.*did you mean 'gini'"),
    ("impurity no name", call(impurity=None), TypeError, "impurity.*None.*'renyi'"),
    ("prior unknown", call(prior="unifrom"), ValueError, "prior.*'unifrom'.*did you mean 'uniform'"),
    ("prior negative", call(prior=torch.tensor([1.5, -0.5, 0.0])), ValueError, r"prior.*-0\.5"),
    ("prior too short", call(prior=torch.tensor([0.5, 0.5])), ValueError, r"prior.*\[2\].*\[3\]"),
    ("prior of two axes", call(prior=torch.full((3, 1), 1 / 3)), ValueError, r"prior.*\[3, 1\].*\[3\]"),
    ("prior of counts", call(prior=torch.tensor([5.0, 3.0, 2.0])), ValueError, r"prior.*10.*prior\.sum"),
    ("prior of whole numbers", call(prior=torch.tensor([5, 3, 2])), TypeError, "prior.*int64.*counts"),
    ("prior NaN", call(prior=torch.tensor([math.nan, 0.5, 0.5])), ValueError, "prior.*NaN"),
    ("prior no tensor", call(prior=0.5), TypeError, r"prior.*0\.5.*uniform"),
    ("prior elsewhere", lambda: loss(3, prior=[1, 0.0, 0]).to("meta")(X, Y), ValueError, "prior.*meta.*cpu"),
    ("damping negative", call(damping=-0.1), ValueError, r"damping.*-0\.1"),
    ("damping a softmax", call(damping=0.1, impurity="entropy"), ValueError, "damping.*'entropy'"),
    ("eps zero", call(eps=0), ValueError, "eps.*above 0"),
    (
        "eps that has no reciprocal",
        call(eps=1e-39),
        ValueError,
        "eps: got 1e-39.*at least 1.2e-38",
    ),
    (
        "gaps between coarse classes",
        lambda: loss(4, fine_to_coarse=[0, 0, 3, 3]),
        ValueError,
        "without 1, .*unique",
    ),
    ("ignore_index none", lambda: loss(3, ignore_index=None), TypeError, "ignore_index: got .*whole number"),
    ("class weights of 0", lambda: loss(3, class_weight=[0, 0, 0]), ValueError, "class_weight: got 0 for every"),
    (
        "mask, tokens last",
        with_(torch.rand(4, 6, 5), mask=torch.ones(4, 6).bool()),
        ValueError,
        "mask.*pass feature_dim=-1",
    ),
    (
        "labels of another resolution",
        call(torch.rand(4, 3, 2, 2), torch.zeros(4, 8, 8).long()),
        ValueError,
        "target.*interpolate",
    ),
    ("start epoch zero", call(start_epoch=0), ValueError, "start_epoch.*counted from 1"),
    ("start epoch a float", call(start_epoch=1.5), TypeError, r"start_epoch.*1\.5"),
    ("ramp negative", call(ramp_epochs=-1), ValueError, "ramp_epochs.*-1"),
    ("epoch zero", lambda: loss(3).set_epoch(0), ValueError, r"epoch.*got 0.*epoch \+ 1"),
    ("epoch a word", lambda: loss(3).set_epoch("1"), TypeError, "epoch.*'1'"),
    ("recommended for one class", lambda: loss.recommended(1), ValueError, "num_classes.*1"),
]


@pytest.mark.parametrize(
    ("make", "error", "says"), [bad[1:] for bad in BAD_INPUTS], ids=[b[0] for b in BAD_INPUTS]
)
def test_bad_input(make: Callable[[], object], error: type[Exception], says: str) -> None:
    with pytest.raises(error) as caught:
        make()
    message = str(caught.value)
    assert type(caught.value) is error
    assert re.search(says, message), message
    assert "\n" not in message
    assert re.match(r"[\w\[\]']+: .*(expected|did you mean).*[;?:] .*[.?]$", message), message


@pytest.mark.parametrize(
    "function",
    [functional.class_distribution, functional.class_means, functional.terms],
)
@pytest.mark.parametrize(
    ("features", "target", "says"),
    [
        (X, Y + 1, r"target.*\[0, 3\)"),
        (X, Y.double(), "target.*float64"),
        (X[0], Y, r"\[3\]"),
        (X, Y[:2], "2 cl"),
    ],
)
def test_the_functions_check_by_themselves(
    function: Callable[..., object], features: Tensor, target: Tensor, says: str
) -> None:
    with pytest.raises((TypeError, ValueError), match=says):
        function(features, target, 3)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"prior": torch.tensor([1.0])}, r"prior.*\[1\].*\[3\]"),
        ({"prior": torch.tensor([5.0, 4.0, 3.0])}, "prior.*sum to 12"),
        ({"prior": "bacth"}, "did you mean 'batch'"),
        ({"damping": -5}, "damping.*-5"),
        ({"damping": 0.1, "impurity": "entropy"}, "damping.*'entropy'"),
        ({"impurity": "ginni"}, "did you mean 'gini'"),
    ],
)
def test_terms_check_their_settings(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        functional.terms(X, Y, 3, **settings)


def test_labels_are_read_on_the_cpu_only() -> None:
    class Label(Tensor):
        """A label on another device, whose values nobody may read."""

        device = torch.device("cuda")

        def aminmax(self, *_: object, **__: object) -> Any:
            raise AssertionError("a check waited for the device")

        def long(self, *_: object, **__: object) -> Any:
            return self

    features = cast(Any, type("Features", (Tensor,), {"device": torch.device("cuda")}))(X)
    inputs.check_target(cast(Tensor, Label(Y)), features, 3)


@pytest.mark.parametrize("label", [-1, *(pytest.param(label, marks=pytest.mark.long) for label in (-99, 6))])
def test_a_compiled_loss_stops_at_a_label_out_of_range(label: int) -> None:
    code = f"""
import torch
from torchdiscern import DiscriminabilityLoss
loss = torch.compile(DiscriminabilityLoss(6), fullgraph=True)
print("finite", float(loss(torch.rand(4, 3), torch.tensor([0, 1, {label}, 2]))))
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert result.returncode != 0
    assert "finite" not in result.stdout
    assert "index out of bounds" in result.stderr
