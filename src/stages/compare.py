"""Put every recipe, pretrained network and published number into one report, protocols apart.

    python src/stages/compare.py

Reads   metrics/prepare.json, metrics/split/<split>.json
        evaluations/<recipe>/{detail.json,draws.npy}, evaluations/metadata/<split>.{json,npy}
        plots/<recipe>/{roc,precision_recall,reliability}.csv
        metrics/<recipe>/train.json, plots/<recipe>/history.csv; neither for an <external>
        localizations/<recipe>/{localization.json,overlays}; neither for an <external>
        localizations/<recipe>/chestx_det.json, where the dataset has its boxes
        evaluations/<recipe>/experts.{json,csv}, data/packed/<dataset>/{experts,readers}.csv
        evaluations/sets/<set>/<recipe>/{detail.json,draws.npy,drift.json}
        predictions/<recipe>/{test.csv,heatmaps.safetensors}, data/packed/<dataset>: the images
        data/published/{systems,precision_recall_f1,localization}.csv
        params.yaml: dataset, evaluate, recipes, external, external_sets
Writes  reports/comparison.md     summary, ranking and findings, to be read in a diff
        reports/comparison.html   everything; one file that opens without a network
"""

import logging
from pathlib import Path

from chestxray14.base.params import load_block
from chestxray14.base.stage import run
from chestxray14.files.outputs import write_text
from chestxray14.model.params import ExternalSet
from chestxray14.model.recipe import WholeRecipe
from chestxray14.report.experts import read_agreement
from chestxray14.report.gallery import read_gallery, read_test
from chestxray14.report.published import read_published
from chestxray14.report.ranking import rank_all
from chestxray14.report.records import read_results
from chestxray14.report.report import write_report
from chestxray14.report.results import Pretrained
from chestxray14.report.sections import Told
from chestxray14.scoring.params import Evaluate

MARKDOWN = Path("reports/comparison.md")
PAGE = Path("reports/comparison.html")

log = logging.getLogger("compare")


def main() -> None:
    """Read what ran and what was published, compare, write."""
    dataset = load_block("dataset", str)
    scoring = load_block("evaluate", Evaluate)
    entries: dict[str, WholeRecipe | Pretrained] = {
        **load_block("recipes", dict[str, WholeRecipe]),
        **load_block("external", dict[str, Pretrained]),
    }
    root = Path()
    results = read_results(
        root,
        dataset=dataset,
        draws=scoring.draws,
        entries=entries,
        sets=load_block("external_sets", dict[str, ExternalSet]),
    )
    for name, reason in results.skipped.items():
        log.warning("%s is skipped: %s", name, reason)
    rankings = rank_all(results.runs, results.floors)
    leader = rankings[0].leader
    test = read_test(root, leader, dataset=dataset)
    report = write_report(
        Told(
            results,
            rankings,
            published=read_published(root / "data/published"),
            test=test,
            pictures=read_gallery(root, leader, test, dataset=dataset, seed=scoring.seed),
            agreement=read_agreement(root, dataset=dataset),
        )
    )
    write_text(MARKDOWN, report.markdown)
    write_text(PAGE, report.html)
    log.info("report: %s", PAGE)


if __name__ == "__main__":
    run(main)
