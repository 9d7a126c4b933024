"""What to know before two numbers are compared, and whom to cite for them."""

from chestxray14.data.images import FEWEST_GREYS
from chestxray14.files.metrics import Prepared
from chestxray14.report.comparison import Comparison
from chestxray14.report.published import MICRO, WHOLE_NIH
from chestxray14.report.results import LABEL_VERSIONS, name_runs
from chestxray14.report.tables import auroc_text

NIH = "https://nihcc.app.box.com/v/ChestXray-NIHCC"
"""Where NIH gives the dataset away."""

GIVEN = (
    "Split as given. ChestMNIST tells neither patients nor file names, so every recipe is tested on the "
    "split that comes with the file, whatever its own asks for, and nobody can check here that its "
    "parts share no patient. Intervals draw images as if each were of another patient: they are too "
    "narrow. On other lists of these images, of about the same numbers, intervals over patients are 1.0 "
    "to 2.0 times as wide."
)


def list_caveats(comparison: Comparison) -> tuple[str, ...]:
    """Return what a reader must know before comparing two numbers, a paragraph each."""
    points = [
        (
            "Protocol. On NIH's official test list the same method scores lower than on a random "
            "patient split: 0.807 against 0.841 (Guendel et al. 2018), 0.806 against 0.822 "
            "(Baltruschat et al. 2019), both as quoted by others. So a difference is printed only "
            f"for all {WHOLE_NIH:,} images that NIH's label file lists and the same kind of split. "
            "Two random patient splits still have different test patients."
        ),
        (
            "One seed. Each recipe ran once. Five seeds of one DenseNet-121 on random patient "
            "splits have macro AUROCs from 0.8377 to 0.8411, by the result files in the repository "
            "LalehSeyyed/CheXclusion, so read a gap of that size as none."
        ),
        (
            "Intervals. They say what other patients would change, by drawing the test patients with "
            "replacement, each with all images (percentile bootstrap, Efron & Tibshirani 1993). They "
            "hold neither the luck of training nor another hospital. A p value is of one pair: of "
            "many pairs, some fall below 0.05 by luck alone."
        ),
        (
            "Selection. Our epoch, our thresholds and our calibration are chosen on the validation "
            "part; the test part is scored once. Which recipe leads is decided on the test part, so "
            "the leader's number is flattered a little. A system marked TEST SET was itself chosen on "
            "the images it is scored on."
        ),
        (
            "Labels. A program mined NIH's labels from report texts (Wang et al. 2017); a radiologist "
            "who looked at the images found fewer of them true than documented (Oakden-Rayner 2019). "
            "An AUROC is agreement with the labels, not with the patient."
        ),
        (
            "Label version. NIH has two, Data_Entry_2017.csv and Data_Entry_2017_v2020.csv. They "
            "differ on images of the official test list, most of all in pneumonia. This run: "
            f"{LABEL_VERSIONS[comparison.prepared.label_version]}."
        ),
        (
            "Averages. Macro is the mean of the findings' AUROC, each counted alike. Micro pools all "
            "decisions, so knowing that Infiltration is common and Hernia rare already earns credit. "
            "Neither may be set against the other."
        ),
    ]
    points += _flat_caveats(comparison.prepared)
    systems = {system.source: system for system in comparison.systems}
    points += [
        f"Averages of one model. {system.title} reports {auroc_text(system.mean)} macro and "
        f"{auroc_text(micro.mean)} micro."
        for system in comparison.systems
        if (micro := systems.get(system.source + MICRO))
    ]
    points += [
        f"Doubtful numbers of {run.name}. {'; '.join(run.evaluation.doubts)}."
        for run in comparison.runs
        if run.evaluation.doubts
    ]
    if comparison.prepared.source == "chestmnist":
        points.append(GIVEN)
    points += _dataset_caveats(comparison)
    points += _training_caveats(comparison)
    return tuple(points)


def _dataset_caveats(comparison: Comparison) -> list[str]:
    """Return what did not run on this dataset, and what it does not say of its images."""
    points = [
        f"Not run. {name} was skipped: {reason}." for name, reason in comparison.skipped.items()
    ]
    if comparison.prepared.own_patients:
        points.append(
            "Patients. The dataset names none, and every image counts as its own patient. Where "
            "somebody has several images, they may stand on both sides of a split, and every "
            "interval is too narrow."
        )
    mixed = {run.protocol: run.split.of_official_test for run in comparison.runs}
    points += [
        f"Leak between protocols. The train and val parts of split {protocol} hold {count:,} images of "
        "NIH's official test list: what was trained or chosen on them must not be scored there."
        for protocol, count in mixed.items()
        if count
    ]
    tests = {group.splits: group.test for group in comparison.groups}
    points += [
        f"Unknown labels. On {splits} they are left out of every number: "
        + ", ".join(f"{finding} {count:,}" for finding, count in test.unknown.items())
        + f" of {test.images:,} test images."
        for splits, test in tests.items()
        if test.unknown
    ]
    return points


def _flat_caveats(prepared: Prepared) -> list[str]:
    """Return which images show next to nothing, where some do."""
    if not prepared.flat:
        return []
    shown = prepared.flat_images[:5]
    others = " and others" if prepared.flat > len(shown) else ""
    told = (
        f"Flat images. Of {prepared.images:,} images, {prepared.flat:,} show next to nothing: 98 % "
        f"of each lie within {FEWEST_GREYS} of 256 greys ({', '.join(shown)}{others}). They are "
        "scored with the rest, since official lists hold such images."
    )
    return [told]


def _training_caveats(comparison: Comparison) -> list[str]:
    """Return what holds of some ways to come by a network, where this comparison has them."""
    recipes = [run for run in comparison.runs if run.training]
    made = [(run, run.training) for run in comparison.runs if run.training]
    frozen = [
        run
        for run, training in made
        if training.recipe.trainable != "all" and training.trained.weights == "random"
    ]
    points = []
    versions = sorted({training.trained.torch for _, training in made})
    if len(versions) > 1:
        trained_by = (
            (version, [run for run, training in made if training.trained.torch == version])
            for version in versions
        )
        told = "; ".join(f"{version}: {name_runs(runs, among=())}" for version, runs in trained_by)
        points.append(
            f"Versions of torch. The recipes were trained by different ones. {told}. Another version "
            "may move a number as another seed does, and re-runs nothing by itself: train them again "
            "by one version before a small difference counts."
        )
    if frozen:
        points.append(
            f"Frozen and random. Layers of {name_runs(frozen, among=recipes)} stay as they were "
            "drawn at random here, where the recipe has them pretrained. That shows that the "
            "machinery runs and says nothing about the recipe."
        )
    if external := [
        f"{run.name} ({run.pretrained})" for run in comparison.runs if not run.training
    ]:
        points.append(
            f"Pretrained elsewhere: {', '.join(external)}. TorchXRayVision's weights named all, nih "
            "and rsna were trained on NIH images (Cohen et al., arXiv:2111.00595), by a split that "
            "is not published, so they may have seen test images of ours and score too high. Those "
            "named pc, chex and mimic come from other hospitals."
        )
    return points


def list_citations(comparison: Comparison) -> tuple[str, ...]:
    """Return how to cite the dataset, ending with the words that lead on to the systems."""
    source = comparison.prepared.source
    origins = {
        "phantom": "These radiographs are drawn and need no citation; the dataset they imitate does.",
        "chestmnist": (
            "The radiographs and labels are NIH ChestX-ray14, reduced to ChestMNIST (CC BY 4.0): J. "
            "Yang, R. Shi, D. Wei, Z. Liu, L. Zhao, B. Ke, H. Pfister, B. Ni: MedMNIST v2, a "
            "large-scale lightweight benchmark for 2D and 3D biomedical image classification. "
            "Scientific Data 10, 41 (2023)."
        ),
        "table": (
            f"Cite the dataset {comparison.prepared.dataset} as its owners ask; the recipes and "
            "published numbers are of NIH ChestX-ray14."
        ),
    }
    return (
        origins.get(source, "The radiographs and labels are NIH ChestX-ray14."),
        (
            "X. Wang, Y. Peng, L. Lu, Z. Lu, M. Bagheri, R. M. Summers: ChestX-ray8: "
            "Hospital-scale Chest X-ray Database and Benchmarks on Weakly-Supervised "
            "Classification and Localization of Common Thorax Diseases. CVPR 2017, "
            "https://arxiv.org/abs/1705.02315 (arXiv:1705.02315)."
        ),
        f"Data courtesy of the NIH Clinical Center, {NIH}",
        "Published numbers (the tables in data/published) are from:",
    )
