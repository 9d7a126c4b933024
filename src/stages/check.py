"""Check the whole of params.yaml before anything runs.

    python src/stages/check.py

Reads   params.yaml
Writes  data/checked.txt, whose content never changes: a change of params.yaml that is well-formed
        runs nothing but the stages that read the changed key

Every other stage checks the blocks that it reads itself.
"""

import logging
from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from chestxray14.base.params import Name, Record, load_file
from chestxray14.base.stage import run
from chestxray14.data.params import Split
from chestxray14.external.params import External
from chestxray14.files.outputs import write_text
from chestxray14.localization.params import Shown
from chestxray14.model.params import Compute, ExternalSet, Maps
from chestxray14.model.recipe import WholeRecipe
from chestxray14.raw.params import Dataset
from chestxray14.scoring.params import Evaluate

CHECKED = Path("data/checked.txt")

log = logging.getLogger("check")


class Localize(Maps):
    """The block `localize`: what `predict` draws, and what `localize` shows of it."""

    shown: Shown


class Params(Record):
    """The whole of params.yaml."""

    dataset: str
    datasets: dict[Name, Dataset]
    splits: dict[Name, Split]
    compute: Compute
    evaluate: Evaluate
    localize: Localize
    recipes: Annotated[dict[Name, WholeRecipe], Field(min_length=1)]
    external: dict[Name, External]
    external_sets: dict[Name, ExternalSet]

    @model_validator(mode="after")
    def _names_exist(self) -> "Params":
        if self.dataset not in self.datasets:
            raise ValueError(
                f"dataset: {self.dataset!r} is not one of datasets: {sorted(self.datasets)}"
            )
        if twice := sorted(set(self.recipes) & set(self.external)):
            raise ValueError(f"external.{twice[0]}: a recipe has this name already")
        for block, entries in (("recipes", self.recipes), ("external", self.external)):
            for name, entry in entries.items():
                if entry.split not in self.splits:
                    raise ValueError(
                        f"{block}.{name}.split: {entry.split!r} is not one of splits: "
                        f"{sorted(self.splits)}"
                    )
        return self

    @model_validator(mode="after")
    def _sets_are_others(self) -> "Params":
        taken = [self.dataset]
        for name, chosen in self.external_sets.items():
            key = f"external_sets.{name}"
            if chosen.dataset not in self.datasets:
                raise ValueError(
                    f"{key}.dataset: {chosen.dataset!r} is not one of datasets: {sorted(self.datasets)}"
                )
            if chosen.dataset in taken:
                raise ValueError(
                    f"{key}.dataset: {chosen.dataset} is what the recipes are trained on, or another "
                    "set's"
                )
            taken.append(chosen.dataset)
            if unknown := [recipe for recipe in chosen.recipes if recipe not in self.recipes]:
                raise ValueError(
                    f"{key}.recipes: {unknown[0]!r} is not one of recipes: {sorted(self.recipes)}"
                )
            sizes = [self.datasets[each].packed_px for each in (self.dataset, chosen.dataset)]
            if sizes[0] != sizes[1]:
                raise ValueError(
                    f"{key}.dataset: {chosen.dataset} has packed_px {sizes[1]}, expected {sizes[0]} "
                    f"as {self.dataset} has: a network must see images alike"
                )
        return self


def main() -> None:
    """Read every key, or say which is wrong."""
    params = load_file(Params)
    write_text(CHECKED, "params.yaml is well-formed.\n")
    log.info(
        "params.yaml: dataset %s, %d recipes, %d splits",
        *(params.dataset, len(params.recipes), len(params.splits)),
    )


if __name__ == "__main__":
    run(main)
