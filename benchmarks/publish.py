"""Writes what the benchmarks measured into the documentation, between marks in its pages.

    python benchmarks/publish.py [--results results/bench] [--check]
    python benchmarks/publish.py --compare runs/a runs/b runs/c

`<!-- begin NAME -->` to `<!-- end NAME -->` holds the table of `NAME.json`, or one of the sentences below. With
`--check` nothing is written, and the exit status is 1 if a page differs. With `--compare` the medians of every
ratio are printed, a column for each folder.
"""

import argparse
import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.table import Table

PAGES = ["README.md", "docs/cost.md", "docs/scale.md", "docs/experiments.md"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=Path("results/bench"))
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--compare", type=Path, nargs="+", default=[])
    options = parser.parse_args()
    if options.compare:
        compare(options.compare)
        return 0
    stale = []
    for name in PAGES:
        page = Path(name)
        before = page.read_text(encoding="utf-8")
        after = re.sub(
            r"(<!-- begin (\S+) -->).*?(<!-- end \2 -->)",
            lambda found: found[1] + content(options.results, found[2]) + found[3],
            before,
            flags=re.DOTALL,
        )
        if after != before:
            stale.append(name)
            if not options.check:
                page.write_text(after, encoding="utf-8")
    for plot in options.results.glob("*.svg"):
        shown = Path("docs/images") / plot.name
        if not shown.exists() or shown.read_bytes() != plot.read_bytes():
            stale.append(str(shown))
            if not options.check:
                shutil.copyfile(plot, shown)
    if options.check and stale:
        print(f"{', '.join(stale)}: not what the results say; run python benchmarks/publish.py.")
        return 1
    return 0


def content(results: Path, name: str) -> str:
    if name in SENTENCES:
        return SENTENCES[name](results)
    found = read(results, name)
    header, *rows = found["table"]
    lines = [header, ["---"] * len(header), *rows]
    table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    about = found["about"]
    machine = f"torch {about['torch']}, {about['hardware']['processor']}, {about['date']}"
    spread = "medians (quartiles); " if about["rounds"] > 1 else ""
    return f"\n\n{table}\n\n*{found['title']}; {spread}{machine}; `{about['command']}`*\n\n"


def read(results: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((results / f"{name}.json").read_text(encoding="utf-8"))
    return found


def case(found: dict[str, Any], **wanted: object) -> dict[str, Any]:
    """The result with these values."""
    fitting = (one for one in found["results"] if all(one[key] == value for key, value in wanted.items()))
    return next(fitting)


def step_sentence(results: Path) -> str:
    found = case(read(results, "step-1"), model="ResNet-18")
    extra, whole = found["alone"]["pooling layer"], found["ms"]["without"]
    return (
        f"the loss adds {extra:.1f} ms to the {whole:,.0f} ms of a training step of ResNet-18 (batch "
        f"{found['batch']}, 32x32, one CPU thread)"
    )


def whole_step_sentence(results: Path) -> str:
    ratios = case(read(results, "step-1"), model="ResNet-18")["ratios"]
    low, middle, high = ratios["pooling layer/without"]
    least, _, most = ratios["without, again/without"]
    return (
        f"whole steps with it took {middle:.3f} times ({low:.3f} to {high:.3f}) as long as without it, where a "
        f"second arm without it took {least:.3f} to {most:.3f} times as long"
    )


def classes_sentence(results: Path) -> str:
    found = case(read(results, "loss-kept-1"), name="a million classes")
    low, middle, high = found["ratios"]["ours/a thousand"]
    return f"a million classes cost {middle:.2f} times ({low:.2f} to {high:.2f}) what a thousand do"


def rivals_sentence(results: Path) -> str:
    ratios = case(read(results, "rivals-1"), shape=[200, 2048])["ratios"]
    named = [f"{name} {ratios[f'{name}/ours'][1]:.1f}" for name in ("SupCon", "ArcFace", "triplet", "centre")]
    return f"on 200 samples of 2,048 features other losses took, in times of ours: {', '.join(named)}"


def training_runs(results: Path) -> str:
    """The runs kept in the folder `training` beside the benchmarks: one a line, each one seed."""
    lines = [["run, arm, seed", "best, %", "last, %", "by 5 features, %", "impurity", "minutes"]]
    lines.append(["---", *["---:"] * 5])
    machines = set()
    for file in sorted((results.parent / "training").glob("*/result.json")):
        found = json.loads(file.read_text(encoding="utf-8"))
        best, last = found["best"]["test"], found["last"]["test"]
        made = yaml.safe_load((file.parent / "recipe.yaml").read_text(encoding="utf-8"))["made_with"]
        machines.add(f"torch {made['versions']['torch']}, {made['hardware']['processor']}")
        shares = [best["accuracy"], last["accuracy"], last["k_feature_accuracy"]["5"]]
        lines.append(
            [
                f"`{found['recipe']}` {found['arm']}, {found['seed']}",
                *(f"{100 * share:.2f}" for share in shares),
                f"{last['impurity_renyi']:.3f}",
                f"{found['seconds']['training'] / 60:.1f}",
            ]
        )
    table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    return (
        f"\n\n{table}\n\n*Test accuracy at the best validation epoch and at the last; features and impurity "
        "(Renyi) of the last. `torchdiscern train RUN --set arm=ARM --set seed=SEED`; "
        f"{'; '.join(sorted(machines))}; the folders lie in `results/training`*\n\n"
    )


SENTENCES = {
    "step": step_sentence,
    "whole-step": whole_step_sentence,
    "classes": classes_sentence,
    "rivals": rivals_sentence,
    "results": training_runs,
}


def compare(folders: list[Path]) -> None:
    table = Table("benchmark", "case", "ratio", *(str(folder) for folder in folders))
    for file in sorted(folders[0].glob("*.json")):
        for index, first in enumerate(read(folders[0], file.stem)["results"]):
            about = " ".join(str(first[key]) for key in ("name", "model", "shape") if key in first)
            for ratio in first.get("ratios", {}):
                medians = [read(folder, file.stem)["results"][index]["ratios"][ratio][1] for folder in folders]
                table.add_row(file.stem, about, ratio, *(f"{median:.3g}" for median in medians))
    Console(width=140).print(table)


if __name__ == "__main__":
    sys.exit(main())
