"""Every stream of random numbers is another one."""

import itertools

from chestxray14.base.draws import generator

PURPOSES = ("order", "augmentation", "sample", "maps", "weights", "split", "official", "bootstrap")


def first(purpose: str, *key: int) -> float:
    return float(generator(purpose, *key).random())


def test_no_two_purposes_and_no_two_keys_share_a_stream() -> None:
    keys = [(), (0,), (0, 0), (0, 0, 0), (1,), (1, 0), (1, 0, 0), (0, 1), (1, 1), (2**63 - 1,)]
    streams = [first(purpose, *key) for purpose, key in itertools.product(PURPOSES, keys)]
    assert len(set(streams)) == len(PURPOSES) * len(keys)


def test_a_stream_is_the_same_in_every_process() -> None:
    # Noted once: another number would change every split and every training.
    assert first("split", 0) == 0.46434076035087424
