"""The files of radiologists' readings: where each is published, and that it is the one pinned.

They lie where params.yaml says, outside of DVC. None of them is part of this project.
"""

import hashlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import requests

from chestxray14.base.errors import InputError
from chestxray14.files.foreign import read_foreign
from chestxray14.files.outputs import write_bytes
from chestxray14.raw.fetch import TIMEOUT, tell_failure
from chestxray14.raw.params import ExpertFile, Experts

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Source:
    """Where a set is published, on which terms and how to get it; `address` is that of a folder."""

    published: str
    licence: str
    how: str
    address: str | None = None


_GOOGLE = (
    "fill in the form on https://cloud.google.com/healthcare-api/docs/resources/public-datasets/"
    "nih-chest, then copy gs://gcs-public-data--healthcare-nih-chest-xray-labels/"
)
_RESEARCH = "research and education only; cite the paper, acknowledge the NIH Clinical Center"

SOURCES = {
    "all_findings": Source(
        published="Nabulsi et al., Scientific Reports 2021, doi 10.1038/s41598-021-93967-2",
        licence=_RESEARCH,
        how=f"{_GOOGLE}all_findings_expert_labels/",
    ),
    "four_findings": Source(
        published="Majkowska et al., Radiology 2020, doi 10.1148/radiol.2019191293",
        licence=_RESEARCH,
        how=f"{_GOOGLE}four_findings_expert_labels/; the package torchxrayvision has the labels, "
        "without readers, as data/google2019_nih-chest-xray-labels.csv.gz",
    ),
    "chestx_det": Source(
        published="Lian et al., IEEE TMI 2021, https://github.com/Deepwise-AILab/ChestX-Det-Dataset",
        licence="Apache-2.0",
        how="fetched from there",
        address="https://raw.githubusercontent.com/Deepwise-AILab/ChestX-Det-Dataset/"
        "20bbed2aa62812f24f78ac0f6e674deb6286242c",
    ),
}


def bring_experts(experts: Experts) -> None:
    """Fetch the files that have a plain address, and check every file that params.yaml names.

    Raises `InputError` for a file that is not here, saying where it is published, and for one of
    other content than is pinned.
    """
    for name, files in list_files(experts):
        source = SOURCES[name]
        log.info("experts %s: %s; %s", name, source.published, source.licence)
        for file in files:
            path = Path(file.path)
            if path.exists():
                read_expert_file(file)
            elif source.address:
                content = _fetch(f"{source.address}/{path.name}")
                _check(content, file)
                write_bytes(path, content)
            else:
                raise InputError(
                    f"{path}: experts {name} are not here; published in {source.published} "
                    f"({source.licence}); {source.how}"
                )


def list_files(experts: Experts) -> Iterator[tuple[str, list[ExpertFile]]]:
    """Yield each set that is there with its files."""
    if chosen := experts.all_findings:
        yield "all_findings", [chosen.labels, chosen.readers]
    if four := experts.four_findings:
        yield "four_findings", [*four.labels, *([four.readers] if four.readers else [])]
    if det := experts.chestx_det:
        yield "chestx_det", det.outlines


def read_expert_file(file: ExpertFile) -> bytes:
    """Return the content of a file, unpacked where its name ends in .gz; it is that which is pinned.

    Raises `InputError` for a file that is not here, that is damaged or of other content.
    """
    content = read_foreign(Path(file.path))
    _check(content, file)
    return content


def _check(content: bytes, file: ExpertFile) -> None:
    found = hashlib.sha256(content).hexdigest()
    if found != file.sha256:
        raise InputError(
            f"{file.path}: found content of sha256 {found}, expected {file.sha256} (params.yaml)"
        )


def _fetch(address: str) -> bytes:
    """Return what lies at an address, or raise `InputError`."""
    log.info("fetching %s", address)
    try:
        response = requests.get(address, timeout=TIMEOUT)
        response.raise_for_status()
    except requests.RequestException as error:
        raise InputError(f"{address}: {tell_failure(error)}; run the same command again") from None
    return response.content
