import json
import logging
import runpy
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT, make_index
from made_predictions import PARAMS, evaluate, predicted
from sklearn.metrics import (
    average_precision_score,
    brier_score_loss,
    classification_report,
    roc_auc_score,
)

from chestxray14.base.draws import generator
from chestxray14.base.errors import InputError
from chestxray14.base.findings import FINDINGS, NO_FINDING, format_label
from chestxray14.base.scores import DIGITS
from chestxray14.files.predictions import Predicted, match
from chestxray14.phantom.panel import write_panel
from chestxray14.scoring.bootstrap import bootstrap_findings, draw_patients
from chestxray14.scoring.decisions import COUNTS, score_decisions
from chestxray14.scoring.score import score
from chestxray14.scoring.summary import summarise_evaluation


def test_every_score_of_a_finding_is_scikit_learns() -> None:
    test = predicted()
    found = evaluate(test).evaluation
    for name in (*FINDINGS, NO_FINDING):
        labels, scores = test.labels([name])[:, 0], test.scores([name])[:, 0]
        told = found.findings[name]
        assert told.positives == labels.sum()
        assert told.auroc.value == round(roc_auc_score(labels, scores), DIGITS)
        expected = round(average_precision_score(labels, scores), DIGITS)
        assert told.average_precision.value == expected
        assert told.prevalence == round(float(labels.mean()), DIGITS)
        assert told.calibration.brier.value == round(brier_score_loss(labels, scores), DIGITS)
        grouped = test.known.groupby("patient")[name]
        assert told.patients == min((grouped.max() == 1).sum(), (grouped.min() == 0).sum())
        for estimate in (told.auroc, told.average_precision, told.calibration.brier):
            assert estimate.low is not None
            assert estimate.high is not None
            assert estimate.low < estimate.value < estimate.high


def test_the_averages_are_scikit_learns_and_no_finding_is_in_none_of_them() -> None:
    test = predicted()
    found = evaluate(test).evaluation
    labels, scores = test.labels(FINDINGS), test.scores(FINDINGS)
    for average in ("macro", "micro"):
        expected = roc_auc_score(labels, scores, average=average)
        assert found.auroc[average].value == round(expected, DIGITS)
    expected = average_precision_score(labels, scores, average="macro")
    assert found.average_precision.value == round(expected, DIGITS)


def test_each_draw_of_the_mean_is_scikit_learns_with_the_draws_weights() -> None:
    test = predicted(patients=30)
    scoring = evaluate(test)
    patients, place = np.unique(test.known["patient"], return_inverse=True)
    rng = generator("bootstrap", PARAMS.seed)
    drawn = []
    for _ in range(PARAMS.draws):
        times = np.bincount(
            rng.integers(len(patients), size=len(patients)), minlength=len(patients)
        )
        drawn.append(
            roc_auc_score(
                test.labels(FINDINGS),
                test.scores(FINDINGS),
                average="macro",
                sample_weight=times[place],
            )
        )
    np.testing.assert_allclose(scoring.draws.mean(axis=1), drawn)
    told = scoring.evaluation.auroc["macro"]
    bounds = np.percentile(drawn, [2.5, 97.5])
    np.testing.assert_allclose([told.low, told.high], bounds, atol=1e-5)


def test_no_finding_is_one_less_the_highest_probability_where_all_14_are_predicted() -> None:
    known = make_index(1, studies=2)
    known[list(FINDINGS)] = 0
    known.loc[1, "Mass"] = 1
    table = pd.DataFrame(0.1, index=known["image"], columns=list(FINDINGS))
    table.loc[known["image"][1], "Hernia"] = 0.7
    whole = match(table, known, path=Path("p.csv"))
    assert whole.labels([NO_FINDING])[:, 0].tolist() == [1, 0]
    np.testing.assert_allclose(whole.scores([NO_FINDING])[:, 0], [0.9, 0.3])
    some = match(table.drop(columns="Edema"), known, path=Path("p.csv"))
    assert NO_FINDING not in some.probabilities
    assert evaluate(predicted(findings=FINDINGS[:8])).evaluation.look_alikes.micro_15 is None


def test_thresholds_and_calibration_depend_on_the_validation_part_alone() -> None:
    val = predicted(seed=1)
    points = [
        (found.operating_points, {f: s.calibrated for f, s in found.findings.items()})
        for test in (predicted(seed=2), predicted(seed=3))
        for found in [evaluate(test, val).evaluation]
    ]
    assert [p.thresholds for p in points[0][0].values()] == [
        p.thresholds for p in points[1][0].values()
    ]
    for finding in FINDINGS:
        first, second = (platt[finding] for _, platt in points)
        assert first is not None
        assert second is not None
        assert (first.slope, first.intercept) == (second.slope, second.intercept)


def test_the_decisions_are_those_of_scikit_learns_report_at_the_thresholds() -> None:
    test = predicted(seed=2)
    found = evaluate(test, predicted(seed=1)).evaluation
    for point in found.operating_points.values():
        calls = test.scores(FINDINGS) >= [point.thresholds[finding] for finding in FINDINGS]
        report = classification_report(
            test.labels(FINDINGS),
            calls,
            target_names=list(FINDINGS),
            output_dict=True,
            zero_division=0,
        )
        for name, told in point.decisions.items():
            assert told.f1.value == round(report[name]["f1-score"], DIGITS)
            assert told.precision.value == round(report[name]["precision"], DIGITS)
            assert told.sensitivity.value == round(report[name]["recall"], DIGITS)
        assert point.macro["f1"].value == round(report["macro avg"]["f1-score"], DIGITS)


def test_without_validation_there_is_one_threshold_and_no_calibration() -> None:
    scoring = evaluate(predicted())
    found = scoring.evaluation
    assert list(found.operating_points) == ["half"]
    assert all(scores.calibrated is None for scores in found.findings.values())
    assert all(not g.tpr_gap for a in found.subgroups.values() for g in a.groups.values())
    assert set(scoring.reliability["calibration"]) == {"as predicted"}
    assert "after_platt" not in summarise_evaluation(found)["brier"]


def test_a_finding_of_one_class_is_named_and_in_no_average() -> None:
    test = predicted(rare=("Hernia",))
    found = evaluate(test, predicted(seed=1)).evaluation
    assert found.one_class == ("Hernia",)
    assert "Hernia" not in found.findings
    assert "Hernia" not in found.operating_points["half"].decisions
    scored = FINDINGS[:-1]
    expected = roc_auc_score(test.labels(scored), test.scores(scored))
    assert found.auroc["macro"].value == round(expected, DIGITS)


def test_a_finding_of_one_class_in_validation_has_no_threshold_there() -> None:
    found = evaluate(predicted(), predicted(seed=1, rare=("Hernia",))).evaluation
    assert "Hernia" in found.operating_points["half"].thresholds
    assert "Hernia" not in found.operating_points["youden"].thresholds
    assert found.findings["Hernia"].calibrated is None


def test_nothing_to_score_is_refused() -> None:
    with pytest.raises(InputError, match="no finding is both present and absent"):
        evaluate(predicted(rare=FINDINGS))


def test_the_look_alikes_are_what_they_say() -> None:
    test, train = predicted(), predicted(seed=5)
    found = score(test, train=train, params=PARAMS, label_version="original").evaluation
    labels, scores = test.labels(FINDINGS), test.scores(FINDINGS)
    assert found.look_alikes.label_accuracy == round(float(((scores >= 0.5) == labels).mean()), 5)
    assert found.look_alikes.all_negative == round(float((labels == 0).mean()), DIGITS)
    pooled = (*FINDINGS, NO_FINDING)
    expected = roc_auc_score(test.labels(pooled).ravel(), test.scores(pooled).ravel())
    assert found.look_alikes.micro_15 == round(expected, DIGITS)
    expected = roc_auc_score(train.labels(FINDINGS), train.scores(FINDINGS))
    assert found.look_alikes.training_images == round(expected, DIGITS)


def test_training_images_without_one_of_the_findings_give_no_look_alike() -> None:
    train = predicted(seed=5, rare=("Hernia",))
    found = score(predicted(), train=train, params=PARAMS, label_version="original").evaluation
    assert found.look_alikes.training_images is None


def test_the_summary_is_short_and_says_what_was_scored() -> None:
    scoring = evaluate(predicted(), predicted(seed=1))
    found, metrics = scoring.evaluation, summarise_evaluation(scoring.evaluation)
    numbers = [
        value for part in metrics.values() if isinstance(part, dict) for value in part.values()
    ]
    assert len(numbers) < 36
    assert metrics["auroc"]["macro"] == found.auroc["macro"].value
    assert metrics["auroc_low"] == {"macro": found.auroc["macro"].low}
    assert metrics["split_sha256"] == found.split_sha256
    assert metrics["label_version"] == "original"
    brier = np.mean([found.findings[f].calibration.brier.value for f in FINDINGS])
    assert metrics["brier"]["as_predicted"] == pytest.approx(brier, abs=1e-5)


def test_one_patient_has_scores_and_no_interval() -> None:
    test = predicted()
    alone = Predicted(test.known.assign(patient=1), test.probabilities)
    found = evaluate(alone).evaluation
    assert found.auroc["macro"].value == evaluate(test).evaluation.auroc["macro"].value
    for estimate in (*found.auroc.values(), *(s.auroc for s in found.findings.values())):
        assert (estimate.low, estimate.high) == (None, None)


def test_the_evaluation_says_what_it_was_made_with() -> None:
    found = evaluate(predicted()).evaluation
    assert (found.draws, found.bins, found.sensitivity) == (60, 5, 0.9)


def test_the_summary_has_no_f1_over_fewer_findings_than_are_scored() -> None:
    whole = summarise_evaluation(evaluate(predicted(), predicted(seed=1)).evaluation)
    assert set(whole["f1_macro"]) == {"half", "youden", "max_f1", "sensitivity"}
    some = summarise_evaluation(
        evaluate(predicted(), predicted(seed=1, rare=("Hernia",))).evaluation
    )
    assert some["f1_macro"] == {"half": whole["f1_macro"]["half"]}


# The stage, on anybody's files in a folder of its own.


@pytest.fixture
def known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pd.DataFrame:
    """Make a folder with a label file of 40 patients, work in it, and return what is known."""
    shutil.copy(ROOT / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    table = predicted().known
    labels = [format_label(row) for row in table[list(FINDINGS)].to_numpy().tolist()]
    columns = {"image": "Image Index", "follow_up": "Follow-up #", "patient": "Patient ID"}
    columns |= {"age": "Patient Age", "sex": "Patient Gender", "view": "View Position"}
    written = table[list(columns)].rename(columns=columns).assign(**{"Finding Labels": labels})
    written.astype({"Patient Age": int}).to_csv("labels.csv", index=False)
    return table


def write(name: str, table: pd.DataFrame, *, findings: tuple[str, ...] = ("Mass", "Edema")) -> str:
    """Write made-up predictions for the images of a table; return the file's name."""
    noise = np.random.default_rng(len(name)).random((len(table), len(findings)))
    images = pd.Series(table["image"].to_list(), name="Image Index")
    pd.DataFrame(noise, columns=list(findings)).join(images).to_csv(name, index=False)
    return name


def run_stage(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    fixed = () if len(arguments) == 1 else ("--labels", "labels.csv", "--output", "out")
    monkeypatch.setattr(sys, "argv", ["evaluate.py", *fixed, *arguments])
    main: Callable[[], None] = runpy.run_path(str(ROOT / "src/stages/evaluate.py"))["main"]
    main()


def test_validation_images_that_are_scored_are_refused(
    known: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    test, val = write("p.csv", known[:80]), write("v.csv", known[79:])
    with pytest.raises(
        InputError, match=f"v.csv has 1 images of the scored file: .*{known['image'][79]}"
    ):
        run_stage(monkeypatch, "--predictions", test, "--validation", val)
    assert not Path("out").exists()
    # Images that the list leaves out are not scored.
    Path("list.txt").write_text("\n".join(known["image"][:79]))
    run_stage(monkeypatch, "--predictions", test, "--validation", val, "--images", "list.txt")


def test_shared_patients_and_findings_without_a_threshold_are_named(
    known: pd.DataFrame, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    test = write("p.csv", known[known["patient"] <= 32], findings=("Mass", "Edema", "Hernia"))
    val = write("v.csv", known[(known["patient"] > 32) & (known["Mass"] == 0)])
    run_stage(monkeypatch, "--predictions", test, "--validation", val)
    told = (
        "v.csv: of one class only or not predicted, so no threshold, no calibration: Mass, Hernia"
    )
    assert told in caplog.text
    assert "patients with the scored file" not in caplog.text
    test, val = write("p.csv", known[::3]), write("v.csv", known[1::3])
    run_stage(monkeypatch, "--predictions", test, "--validation", val)
    shared = set(known["patient"][::3]) & set(known["patient"][1::3])
    assert f"v.csv shares {len(shared)} patients with the scored file" in caplog.text


def test_a_difference_says_of_what_it_is_and_the_log_has_it_in_one_line(
    known: pd.DataFrame, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    first = write("p.csv", known, findings=("Mass", "Edema", "Hernia"))
    second = write("other.csv", known, findings=("Edema", "Mass"))
    run_stage(monkeypatch, "--predictions", first, "--against", second)
    told, scored = (
        json.loads(Path("out", name).read_text()) for name in ("difference.json", "test.json")
    )
    assert told["findings"] == 2
    assert list(told["differences"]) == ["macro", "Mass", "Edema"]
    for name in ("images", "patients", "split_sha256", "label_version"):
        assert told[name] == scored[name]
    macro = told["differences"]["macro"]
    assert set(macro) == {"value", "low", "high", "p"}
    assert (
        f"p.csv less other.csv over 2 shared findings: macro {macro['value']:+.2f} "
        f"({macro['low']:+.2f} to {macro['high']:+.2f}), p {macro['p']:.3f}"
    ) in caplog.text
    few = write("few.csv", known[:27])
    run_stage(monkeypatch, "--predictions", few, "--against", few)
    assert "macro +0.00, no interval" in caplog.text


def test_doubtful_numbers_are_told_of_every_file_and_recorded_of_the_scored_one(
    known: pd.DataFrame, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    test, val = known[known["patient"] <= 20], known[known["patient"] > 20]
    files = {"p.csv": (test, 0.1), "v.csv": (val, 0.2), "other.csv": (test, 0.3)}
    for name, (table, value) in files.items():
        write(name, table)
        pd.read_csv(name).assign(Mass=value).to_csv(name, index=False)
    run_stage(
        monkeypatch, "--predictions", "p.csv", "--validation", "v.csv", "--against", "other.csv"
    )
    told = [line for line in caplog.messages if "one value for all images" in line]
    assert [line.split(": ")[:2] for line in told] == [[name, "Mass"] for name in files]
    recorded = json.loads(Path("out/detail.json").read_text())["doubts"]
    assert f"p.csv: {recorded[0]}" == told[0]


@pytest.mark.parametrize("name", ["p.csv", "v.csv", "other.csv"])
def test_labels_given_as_predictions_are_refused_in_every_file(
    known: pd.DataFrame, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    test, val = known[known["patient"] <= 20], known[known["patient"] > 20]
    for file, table in {"p.csv": test, "v.csv": val, "other.csv": test}.items():
        write(file, table)
        if file == name:
            labels = table["Mass"].to_list()
            pd.read_csv(file).assign(Mass=labels).to_csv(file, index=False)
    with pytest.raises(InputError, match=rf"^{name}: the column Mass repeats the label Mass"):
        run_stage(
            *(monkeypatch, "--predictions", "p.csv"),
            *("--validation", "v.csv", "--against", "other.csv"),
        )
    assert not Path("out").exists()


@pytest.mark.parametrize("column", ["No Finding", "prob_No Finding"])
def test_a_no_finding_column_is_said_to_be_derived(
    known: pd.DataFrame,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    column: str,
) -> None:
    write("p.csv", known)
    pd.read_csv("p.csv").assign(note="x", **{column: 0.5}).to_csv("p.csv", index=False)
    run_stage(monkeypatch, "--predictions", "p.csv")
    assert (
        "p.csv: No Finding is not read: it is derived where all 14 findings are predicted"
        in caplog.text
    )
    assert "p.csv: left out, no findings: note" in caplog.text


@pytest.mark.parametrize("text", ["[]", '{"kind": "patient"}', '{"test": {"sha256": 1}}'])
def test_a_foreign_split_file_is_refused_in_one_line(
    known: pd.DataFrame, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    Path("metrics/split").mkdir(parents=True)
    Path("metrics/split/patient.json").write_text(text)
    with pytest.raises(InputError, match=r"patient\.json: .*; the split stage writes it"):
        run_stage(monkeypatch, "densenet121_step")


def test_radiologists_are_asked_beside_the_labels(
    known: pd.DataFrame, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    drawn = known[list(FINDINGS)].to_numpy() == 1
    write_panel(Path(), known["image"].tolist(), known["patient"].tolist(), drawn, seed=0)
    test = write("p.csv", known[:100])
    files = ("--experts", "panel=panel_labels.csv", "--readers", "panel_readers.csv")
    run_stage(monkeypatch, "--predictions", test, *files)
    written = json.loads(Path("out/experts.json").read_text())
    assert set(written) == {"panel"}
    assert set(written["panel"]) == {"Mass", "Edema"}
    found = written["panel"]["Mass"]
    assert (found["images"], found["patients"]) == (100, known["patient"][:100].nunique())
    assert found["positives_nih"] == known["Mass"][:100].sum()
    assert set(found["auroc"]) == set(found["auroc_nih"]) == {"value", "low", "high"}
    assert set(found["readers"]) == {"4", "5"}
    assert "cannot be known" in caplog.text
    curves = pd.read_csv("out/experts.csv")
    assert curves.columns.tolist() == [
        *("set", "finding", "false_positive_rate", "true_positive_rate")
    ]


def test_a_set_without_a_predicted_image_is_one_line(
    known: pd.DataFrame, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    test = write("p.csv", known[:60])
    rest = known[60:]
    drawn = rest[list(FINDINGS)].to_numpy() == 1
    write_panel(Path(), rest["image"].tolist(), rest["patient"].tolist(), drawn, seed=0)
    run_stage(monkeypatch, "--predictions", test, "--experts", "panel=panel_labels.csv")
    assert "experts panel: shares no image with the predictions" in caplog.text
    assert json.loads(Path("out/experts.json").read_text()) == {}


def test_a_recipes_experts_are_those_of_its_dataset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["evaluate.py", "best", "--experts", "panel=x.csv"])
    main: Callable[[], None] = runpy.run_path(str(ROOT / "src/stages/evaluate.py"))["main"]
    with pytest.raises(SystemExit, match="2"):
        main()


def test_images_whose_label_is_unknown_are_left_out_of_everything_and_counted() -> None:
    test = predicted(patients=60)
    known = test.known.assign(
        Mass=test.known["Mass"].astype(float).where(test.known.index % 3 > 0)
    )
    some = Predicted(known, test.probabilities)
    rows = known["Mass"].notna().to_numpy()
    labels, scores = known["Mass"][rows], test.probabilities["Mass"][rows]
    resamples = draw_patients(known["patient"], draws=40, seed=0)
    column = known[["Mass"]].to_numpy()
    whole, _ = bootstrap_findings(column, some.scores(["Mass"]), resamples)
    part, _ = bootstrap_findings(
        column[rows], scores.to_numpy()[:, None], resamples.restrict(rows)
    )
    np.testing.assert_allclose(whole, part)
    calls = some.scores(["Mass"]) >= 0.5
    decisions, _ = score_decisions(column, calls, resamples, findings=["Mass"])
    assert decisions["Mass"].true_positives == int((labels * (scores >= 0.5)).sum())
    assert sum(getattr(decisions["Mass"], name) for name in COUNTS) == rows.sum()
