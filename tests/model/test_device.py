import os
import re
from collections.abc import Iterator

import pytest
import torch
from conftest import ROOT

from chestxray14.base.errors import InputError
from chestxray14.base.params import load_block
from chestxray14.model.device import (
    choose_algorithms,
    choose_device,
    choose_precision,
    describe_processor,
    has_kernels,
    make_deterministic,
    memory_for,
)
from chestxray14.model.params import Compute

CUDA, CPU = torch.device("cuda"), torch.device("cpu")
COMPUTE = load_block("compute", Compute, path=ROOT / "params.yaml")


def compute(**changes: object) -> Compute:
    return Compute.model_validate(COMPUTE.model_dump() | changes)


def settings() -> tuple[object, ...]:
    return (
        torch.are_deterministic_algorithms_enabled(),
        torch.backends.cudnn.deterministic,
        torch.backends.cudnn.benchmark,
        torch.get_float32_matmul_precision(),
        os.environ.get("CUBLAS_WORKSPACE_CONFIG"),
    )


@pytest.fixture(autouse=True)
def _as_it_was(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(torch.utils.deterministic, "fill_uninitialized_memory", True)
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    before = settings()
    yield
    torch.use_deterministic_algorithms(bool(before[0]))
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = before[1:3]  # type: ignore[assignment]
    torch.set_float32_matmul_precision(str(before[3]))


def test_a_gpu_repeats_or_is_quick_as_params_say() -> None:
    choose_algorithms(compute(deterministic=False), CUDA)
    assert settings() == (False, False, True, "high", None)
    choose_algorithms(compute(deterministic=True), CUDA)
    assert settings()[:3] == (True, True, False)
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"


def test_a_cpu_is_left_as_it_is() -> None:
    before = settings()
    for deterministic in (True, False):
        choose_algorithms(compute(deterministic=deterministic), CPU)
    assert settings() == before


@pytest.mark.parametrize(
    ("gpu", "capability", "precision"),
    [
        ("P100", (6, 0), "fp32"),
        ("GTX 1080", (6, 1), "fp32"),
        ("V100", (7, 0), "fp16"),
        ("T4", (7, 5), "fp16"),
        ("A100", (8, 0), "bf16"),
        ("H200", (9, 0), "bf16"),
        ("B200", (10, 0), "bf16"),
    ],
)
def test_auto_takes_the_precision_that_a_gpu_is_fast_at(
    gpu: str, capability: tuple[int, int], precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda *_: capability)
    monkeypatch.setattr(
        torch.cuda, "is_bf16_supported", lambda including_emulation: capability >= (8, 0)
    )
    assert choose_precision(compute(precision="auto"), CUDA) == precision
    for asked in ("fp32", "fp16", "bf16"):
        assert choose_precision(compute(precision=asked), CUDA) == asked


@pytest.mark.parametrize(
    ("capability", "built_for", "runs"),
    [
        ((6, 0), ["sm_75", "sm_80", "sm_86", "sm_90", "compute_90"], False),
        ((7, 5), ["sm_70", "sm_80"], True),
        ((7, 0), ["sm_75", "sm_80"], False),
        ((8, 9), ["sm_75", "sm_86"], True),
        ((9, 0), ["sm_80", "sm_86"], False),
        ((9, 0), ["sm_80", "compute_80"], True),
        ((12, 0), ["sm_90a", "compute_90a", "sm_100"], False),
        ((9, 0), ["sm_90a"], True),
        ((9, 0), ["gfx90a", "gfx942"], True),
        ((7, 5), [], True),
    ],
)
def test_a_gpu_runs_what_was_built_for_it_or_can_be_compiled_for_it(
    capability: tuple[int, int], built_for: list[str], runs: bool
) -> None:
    # NVIDIA's rule: machine code within a major version, PTX on all that is later.
    assert has_kernels(capability, built_for) == runs


def test_a_torch_without_code_for_the_gpu_is_told_in_one_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Tesla P100-PCIE-16GB")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (6, 0))
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: ["sm_75", "sm_80"])
    for asked in ("auto", "cuda"):
        with pytest.raises(InputError) as caught:
            choose_device(compute(device=asked))
        line = str(caught.value)
        assert all(part in line for part in ("P100", "sm_60", "sm_75, sm_80", "compute.device"))
        assert "\n" not in line
    assert choose_device(compute(device="cpu")) == CPU


def test_an_algorithm_that_does_not_repeat_is_warned_of() -> None:
    make_deterministic()
    # One of the few for which torch has no other algorithm on a CPU either.
    pooled, places = torch.nn.functional.max_pool2d(torch.rand(1, 1, 4, 4), 2, return_indices=True)
    with pytest.warns(UserWarning, match="does not have a deterministic implementation"):
        torch.nn.functional.max_unpool2d(pooled, places, 2)


def test_the_processor_is_named_by_what_decides_its_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    assert describe_processor(CPU) == torch.backends.cpu.get_cpu_capability()
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"a GPU, {device.type}")
    assert describe_processor(CUDA) == "a GPU, cuda"


def test_too_little_memory_on_a_device_says_how_many_images_it_was_asked_for() -> None:
    with pytest.raises(InputError) as caught, memory_for(48):
        raise torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate 2 GiB")
    line = str(caught.value)
    assert re.search(r"\b48 images\b.*\bbatch\b", line)
    assert "\n" not in line


def test_other_errors_pass_through_the_watch_on_memory() -> None:
    with pytest.raises(RuntimeError, match="shapes"), memory_for(48):
        raise RuntimeError("shapes do not fit")
