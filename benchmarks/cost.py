"""Print what training each recipe cost here, from logs/<recipe>.json.

    python benchmarks/cost.py      # or: make cost

Minutes are those of the process that finished the training; images a second are over its epochs,
validation included. None of it is in the report, which must repeat byte for byte.
"""

import json
import sys
from pathlib import Path


def main() -> None:
    """Print a row a recipe."""
    paths = sorted(Path("logs").glob("*.json"))
    if not paths:
        sys.exit("error: no logs/<recipe>.json here; the train stage writes them")
    print("| recipe | minutes | epochs | images/s | parameters | device |")
    print("| --- | --: | --: | --: | --: | --- |")
    for path in paths:
        cost = json.loads(path.read_text())
        images = cost["epochs"] * cost["train_images"]
        rate = f"{images / (60 * cost['minutes']):,.0f}" if cost["minutes"] and images else "–"
        device = f"{cost['processes']} x {cost['device']}, {cost['precision']}"
        print(
            f"| {path.stem} | {cost['minutes']:.2f} | {cost['epochs']} | {rate} "
            f"| {cost['parameters'] / 1e6:.2f} M | {device} |"
        )


if __name__ == "__main__":
    main()
