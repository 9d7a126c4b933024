import numpy as np

from chestxray14.localization.boxes import NO_BOXES
from chestxray14.localization.cases import Case
from chestxray14.localization.pictures import caption, choose_shown
from chestxray14.localization.record import Shown

BOX = np.array([[100.0, 100.0, 200.0, 200.0]])


def case(image: str, finding: str, *, found: np.ndarray, truth: np.ndarray = BOX) -> Case:
    return Case(
        *(image, finding),
        truth=truth,
        found=found,
        hot=NO_BOXES,
        peak=(0.0, 0.0),
        probability=0.123456789,
        called=True,
        labelled=True,
    )


# A quarter of it lies inside: IoBB is 0.25, which does not exceed 0.25.
QUARTER = np.array([[100.0, 100.0, 800.0, 200.0]])
CASES = [
    *(case(f"hit{i}.png", "Mass", found=BOX) for i in range(5)),
    *(case(f"none{i}.png", "Mass", found=NO_BOXES) for i in range(3)),
    case("quarter.png", "Nodule", found=QUARTER),
    case("unboxed.png", "Effusion", found=BOX, truth=NO_BOXES),
]


def choose(*, each: int = 2, seed: int = 0, cases: list[Case] = CASES) -> list[Shown]:
    pairs = choose_shown(cases, each=each, seed=seed)
    assert all(made.image == shown.image for made, shown in pairs)
    return [shown for _, shown in pairs]


def test_every_boxed_finding_has_some_hits_and_some_misses_under_names_of_their_own() -> None:
    shown = choose()
    assert [each.file for each in shown] == [
        *("Mass_hit_1.jpg", "Mass_hit_2.jpg", "Mass_missed_1.jpg", "Mass_missed_2.jpg"),
        "Nodule_missed_1.jpg",
    ]
    assert [each.iobb for each in shown] == [1, 1, 0, 0, 0.25]
    assert {each.probability for each in shown} == {0.12346}
    assert len({each.image for each in shown}) == len(shown)


def test_the_seed_alone_decides_which() -> None:
    assert choose() == choose()
    assert choose(cases=CASES[:8]) == choose()[:4]
    assert len({choose(seed=seed)[0].image for seed in range(20)}) > 2
    assert choose(each=0) == []
    assert len(choose(each=100)) == 9


def test_a_caption_says_what_is_seen_and_that_it_is_no_diagnosis() -> None:
    (first, *_) = choose()
    lines = caption(first, recipe="best", drawn=True)
    assert lines[0] == "Mass 0.123 raw, best: hit, IoBB 1.00"
    assert first.image in lines[1]
    assert lines[2] == "Research software, not for diagnosis. Phantom: drawn, no patient."
    real = caption(first, recipe="best", drawn=False)
    assert "radiologist's" in real[1]
    assert real[2].endswith("Image: NIH Clinical Center.")
