"""How long `import torchdiscern` takes against `import torch`: fresh processes, in pairs, the median ratio."""

import statistics
import subprocess
import sys
import time


def seconds(statement: str) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", statement], check=True)
    return time.perf_counter() - start


def main(pairs: int = 9) -> None:
    seconds("import torchdiscern")
    times = [(seconds("import torch"), seconds("import torchdiscern")) for _ in range(pairs)]
    ratios = sorted(ours / torch for torch, ours in times)
    print(
        f"import torch {statistics.median(torch for torch, _ in times):.2f} s, "
        f"import torchdiscern {statistics.median(ours for _, ours in times):.2f} s, "
        f"ratio {statistics.median(ratios):.3f} ({ratios[0]:.3f} to {ratios[-1]:.3f} over {pairs} pairs)"
    )


if __name__ == "__main__":
    main()
