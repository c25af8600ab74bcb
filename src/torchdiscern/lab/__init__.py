"""The lab: finds out whether the loss helps. It trains, compares and shows; the ground floor never needs it."""

from importlib.util import find_spec

_missing = [
    package
    for module, package in {
        "jinja2": "jinja2",
        "numpy": "numpy",
        "PIL": "pillow",
        "rich": "rich",
        "scipy": "scipy",
        "sklearn": "scikit-learn",
        "torchvision": "torchvision",
    }.items()
    if find_spec(module) is None
]
if _missing:
    raise ModuleNotFoundError(
        f"torchdiscern.lab needs {', '.join(_missing)}, which is not installed; "
        "run: pip install 'torchdiscern[lab]' (in a clone: pip install '.[lab]')",
        name=_missing[0],
    )
