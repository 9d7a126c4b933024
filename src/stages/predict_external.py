"""Write the probabilities of a pretrained TorchXRayVision network for the same images as a recipe.

    python src/stages/predict_external.py torchxrayvision

Reads   data/packed/<dataset>/{images.npy,index.csv}, data/splits/<dataset>/<split>.csv
        params.yaml: dataset, compute.{device,threads}, external.<name>
        the weights: a file, or published ones, downloaded to ~/.torchxrayvision
Writes  predictions/<name>/{val,test}.csv, with the findings that the network predicts

The network is not trained here. Most published weights were trained on NIH images too, which may
be among the test images; src/chestxray14/torchxrayvision_model.py says which.
"""

import logging
from pathlib import Path

from chestxray14.batches import read_parts
from chestxray14.errors import InputError
from chestxray14.findings import FINDINGS
from chestxray14.params import load_params
from chestxray14.predictions import write_predictions
from chestxray14.reproducibility import choose_device
from chestxray14.stage import choose, run
from chestxray14.torchxrayvision_model import load_external, match_findings, predict_external

log = logging.getLogger("predict_external")


def main() -> None:
    """Load the network, predict, write."""
    params = load_params()
    name, external = choose(params.external, of="external", doc=__doc__)
    device = choose_device(params.compute)

    parts = read_parts(
        Path(f"data/packed/{params.dataset}"),
        Path(f"data/splits/{params.dataset}/{external.split}.csv"),
        parts=("val", "test"),
    )
    pretrained = load_external(external.weights, name=name)
    columns = match_findings(pretrained.outputs)
    if not columns:
        raise InputError(f"external.{name}.weights: none of the network's outputs is a finding")
    if missing := [finding for finding in FINDINGS if finding not in columns]:
        log.warning("not predicted by %s: %s", name, ", ".join(missing))
    if (packed_px := parts["test"].images.shape[1]) < pretrained.px:
        log.warning(
            "images packed at %d pixels are enlarged to the %d that the network was trained on",
            *(packed_px, pretrained.px),
        )

    output = Path(f"predictions/{name}")
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


if __name__ == "__main__":
    run(main)
