"""Bombs in PyTorch's files: what is small on the disk and huge in memory is refused unread."""

import resource
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from fedlora.adapter.checkpoint_file import read_checkpoint
from fedlora.adapter.torch_file import read_torch
from fedlora.errors import FedloraError

UP = torch.ones(4, 2)


def saved(folder: Path, down: Tensor) -> Path:
    path = folder / "adapter.pt"
    torch.save({"q.lora_A.weight": down, "q.lora_B.weight": UP}, path)
    return path


def growth(act: Callable[[], object]) -> float:
    """MiB of memory that this process had never had before."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    act()
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


@pytest.mark.parametrize(("down", "said"), [
    (torch.ones(1).expand(2, 1 << 36), "repeats its values"),
    (torch.eye(2).to_sparse(), "no plain tensor"),
    (torch.ones(2, 6, dtype=torch.complex64), "no plain tensor"),
    (torch.ones(2, 6, device="meta"), "no plain tensor"),
])  # fmt: skip
def test_a_tensor_that_is_not_what_it_seems_is_refused(tmp_path: Path, down: Tensor, said: str):
    path = saved(tmp_path, down)
    with pytest.raises(FedloraError, match=said) as caught:
        read_checkpoint(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_archive_that_grows_when_it_is_read_is_refused_before_it_does(tmp_path: Path):
    plain = saved(tmp_path, torch.zeros(2, 1 << 24))  # 128 MiB of zeros
    bomb = tmp_path / "bomb.pt"
    with zipfile.ZipFile(plain) as whole, zipfile.ZipFile(bomb, "w") as small:
        for entry in whole.infolist():
            small.writestr(entry.filename, whole.read(entry), zipfile.ZIP_DEFLATED, 1)
    assert bomb.stat().st_size < 1 << 20

    def read() -> None:
        with pytest.raises(FedloraError, match="a compressed archive"):
            read_torch(bomb)

    assert growth(read) < 32


def test_a_part_of_a_larger_tensor_is_itself(tmp_path: Path):
    wide = torch.randn(2, 12)
    adapter = read_checkpoint(saved(tmp_path, wide[:, 3:9]))
    assert torch.equal(adapter.down["q"], wide[:, 3:9])


@pytest.mark.parametrize(
    "data", [b"", b"X", b"\x80\x02X", b"\x80\x02]q", b"PK\x03\x04", b"(" * 999]
)
def test_a_file_that_is_nothing_of_the_kind_is_one_line(tmp_path: Path, data: bytes):
    path = tmp_path / "odd.pt"
    path.write_bytes(data)
    with pytest.raises(FedloraError, match="odd") as caught:
        read_torch(path)
    assert "\n" not in str(caught.value)
