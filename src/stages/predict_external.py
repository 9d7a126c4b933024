"""Write the probabilities of a pretrained TorchXRayVision network for the same images as a recipe.

    python src/stages/predict_external.py torchxrayvision

Reads   data/packed/<dataset>/{images.npy,index.csv}, data/splits/<dataset>/<split>.csv
        params.yaml: dataset, compute.{device,threads,deterministic}, external.<name>
        the weights: a file, or published ones, downloaded to ~/.torchxrayvision
Writes  predictions/<name>/{val,test}.csv, with the findings that the network predicts

The network is not trained here. Most published weights were trained on NIH images too, which may
be among the test images; src/chestxray14/external/torchxrayvision.py says which.
"""

import logging
from pathlib import Path

from chestxray14.base.params import load_block
from chestxray14.base.stage import choose, run
from chestxray14.external.params import External
from chestxray14.external.torchxrayvision import load_external, match_findings, predict_external
from chestxray14.files.packed import list_findings, read_index
from chestxray14.files.predictions import write_predictions
from chestxray14.files.skipped import read_skipped, write_skipped
from chestxray14.model.batches import read_parts
from chestxray14.model.device import choose_algorithms, choose_device
from chestxray14.model.params import Compute

log = logging.getLogger("predict_external")


def main() -> None:
    """Load the network, predict, write."""
    name = choose(of="external", doc=__doc__)
    external = load_block(f"external.{name}", External)
    dataset = load_block("dataset", str)
    compute = load_block("compute", Compute)
    device = choose_device(compute)
    choose_algorithms(compute, device)

    split_file = Path(f"data/splits/{dataset}/{external.split}.csv")
    if reason := read_skipped(split_file):
        _skip(name, reason=f"split {external.split} is skipped: {reason}")
        return
    packed = Path(f"data/packed/{dataset}")
    findings = list_findings(read_index(packed / "index.csv"))
    parts = read_parts(packed, split_file, parts=("val", "test"))
    pretrained = load_external(external.weights, name=name)
    columns = match_findings(pretrained.outputs, findings)
    if not columns:
        _skip(name, reason="none of the network's outputs is a finding of the dataset")
        return
    if missing := [finding for finding in findings if finding not in columns]:
        log.warning("not predicted by %s: %s", name, ", ".join(missing))
    if (packed_px := parts["test"].images.shape[1]) < pretrained.px:
        log.warning(
            "images packed at %d pixels are enlarged to the %d that the network was trained on",
            *(packed_px, pretrained.px),
        )

    output = Path(f"predictions/{name}")
    (output / "views.json").unlink(missing_ok=True)
    for part_name, part in parts.items():
        probabilities = predict_external(
            *(pretrained, part),
            batch=external.batch,
            device=device,
            what=f"predict {part_name}",
        )
        write_predictions(
            output / f"{part_name}.csv",
            part.names,
            probabilities[:, list(columns.values())],
            findings=list(columns),
        )
    log.info("%s: val.csv and test.csv", output)


def _skip(name: str, *, reason: str) -> None:
    """Leave the reason where a recipe's predictions have theirs."""
    write_skipped(reason, Path(f"predictions/{name}/views.json"))
    log.warning("%s is skipped: %s", name, reason)


if __name__ == "__main__":
    run(main)
