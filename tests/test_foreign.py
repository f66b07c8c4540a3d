"""Files of strangers that would never end, or ask for more memory than they are worth."""

import io
import os
import pickle
import struct
import tracemalloc
import zipfile
from pathlib import Path

import pytest
import torch

from fedlora import foreign
from fedlora.adapter import peft_folder
from fedlora.adapter.checkpoint_file import read_checkpoint
from fedlora.adapter.torch_file import read_torch
from fedlora.errors import FedloraError
from fedlora.pickles import check_pickle
from fedlora.tasks.plain_pickle import read_plain
from tests.adapters import random_adapter
from tests.server.test_vetting import SPEC

HUNGRY = 1 << 33
ZEROS = b"\x80\x02cbuiltins\nbytearray\n\x8a\x05" + HUNGRY.to_bytes(5, "little") + b"\x85R."
PLACES = b"\x80\x02Nr" + struct.pack("<I", 1 << 30) + b"."


@pytest.mark.parametrize("pickled", [ZEROS, PLACES], ids=["zeros", "places"])
@pytest.mark.parametrize("packed", [False, True])
def test_a_pickle_that_asks_for_gigabytes_is_refused_before_it_gets_them(
    tmp_path: Path, pickled: bytes, packed: bool
):
    file = tmp_path / "adapter.pth"
    file.write_bytes(pickled)
    if packed:
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("adapter/data.pkl", pickled)
            archive.writestr("adapter/version", "3")
    tracemalloc.start()
    for read in (read_torch, read_checkpoint, read_plain):
        with pytest.raises(FedloraError) as refused:
            read(file)
        assert "\n" not in str(refused.value)
    assert tracemalloc.get_traced_memory()[1] < 64 << 20
    tracemalloc.stop()


def test_what_honest_programs_write_is_looked_through_and_read(tmp_path: Path):
    state = {"a.lora_A": torch.ones(2, 3), "epoch": 4, "name": "x" * 300}
    for old in (False, True):
        torch.save(state, tmp_path / "plain.pt", _use_new_zipfile_serialization=not old)
        assert read_torch(tmp_path / "plain.pt")["a.lora_A"].equal(state["a.lora_A"])
    data = pickle.dumps({"k": list(range(5000))}, protocol=4)
    check_pickle(io.BytesIO(data), len(data))


def test_pipes_devices_and_endless_files_are_refused_at_once(tmp_path: Path):
    folder = tmp_path / "adapter"
    peft_folder.save(random_adapter(SPEC, 1), folder, "base", None)
    weights = folder / peft_folder.WEIGHTS
    weights.unlink()
    os.mkfifo(weights)
    with pytest.raises(FedloraError, match="no plain file"):
        peft_folder.load(folder, SPEC.base)
    weights.unlink()
    weights.symlink_to("/dev/zero")
    with pytest.raises(FedloraError, match="no plain file"):
        peft_folder.load(folder, SPEC.base)
    weights.unlink()
    with weights.open("wb") as file:
        file.truncate(200 << 30)  # takes no room on the disk
    with pytest.raises(FedloraError, match="are read at most"):
        peft_folder.load(folder, SPEC.base)


def test_a_link_to_a_plain_file_is_one(tmp_path: Path):
    (tmp_path / "blob").write_text("said")
    (tmp_path / "link").symlink_to(tmp_path / "blob")
    assert foreign.read_text(tmp_path / "link") == "said"
    with pytest.raises(FedloraError, match="4 bytes, and 3 are read at most"):
        foreign.read_bytes(tmp_path / "link", 3)
