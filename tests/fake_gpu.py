"""A GPU that is not there, for what runs on one by type, shape and place.

torch's fake tensors say that they lie on a GPU and hold no numbers; an operation between one
of them and a tensor in the host's memory fails as on a real GPU, and so does a wrong shape. What
they cannot show is a backward pass, a number, or a speed.
"""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

CUDA = torch.device("cuda", 0)


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let tensors say that they lie on a GPU with bf16."""
    monkeypatch.setattr("torch.cuda.amp.common.amp_definitely_not_available", lambda: False)
    monkeypatch.setattr("torch.cuda.is_bf16_supported", lambda: True)
    with FakeTensorMode(allow_non_fake_inputs=True):
        yield


def on_gpu(tensor: Tensor) -> None:
    assert tensor.device == CUDA
