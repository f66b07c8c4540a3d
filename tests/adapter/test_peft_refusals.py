"""A folder that is no plain LoRA of this base, or is damaged, is refused in one line."""

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from fedlora.adapter import AdapterSpec, LayerSpec, LoraAdapter, peft_folder
from fedlora.errors import FedloraError

BASE = "b" * 64


@pytest.fixture
def ours(tmp_path: Path) -> Path:
    spec = AdapterSpec(BASE, (LayerSpec("q", 6, 6, 2),), 4.0)
    adapter = LoraAdapter.from_flat(spec, torch.linspace(-1, 1, spec.size))
    peft_folder.save(adapter, tmp_path / "a", "org/base", None)
    return tmp_path / "a"


def change(folder: Path, **keys: Any) -> None:
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | keys))


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ({"use_dora": True}, "'use_dora' is set; train plain LoRA"),
        ({"bias": "all"}, "'bias' is set"),
        ({"layer_replication": [[0, 1]]}, "'layer_replication' is set"),
        ({"something_of_the_future": 1}, "'something_of_the_future' is set"),
        ({"init_lora_weights": "pissa"}, "changes the base model"),
        ({"peft_type": "LOHA"}, "peft_type is not LORA"),
        ({"lora_alpha": "16"}, "an alpha is not a positive number"),
        ({"lora_alpha": -1}, "an alpha is not a positive number"),
        ({"alpha_pattern": {"(a+)+$": 3}}, "name the layer in full"),
        ({"alpha_pattern": {"": 3}}, "name the layer in full"),
        ({"modules_to_save": [1]}, "not a list of names"),
        ({"lora_alpha": 5}, "is not what was written"),
    ],
)
def test_a_configuration_beyond_plain_lora_is_refused(
    ours: Path, keys: dict[str, Any], reason: str
) -> None:
    change(ours, **keys)
    with pytest.raises(FedloraError, match=reason.replace("(", r"\(")) as caught:
        peft_folder.load(ours, BASE)
    assert "\n" not in str(caught.value)
    assert str(ours) in str(caught.value)


@pytest.mark.parametrize("name", ["adapter_config.json", "adapter_model.safetensors"])
@pytest.mark.parametrize("content", [None, b"", b"{", b"[" * 50_000, b"\xff\xfe", b"[]"])
def test_a_missing_or_damaged_file_is_one_line(
    ours: Path, name: str, content: bytes | None
) -> None:
    (ours / name).unlink()
    if content is not None:
        (ours / name).write_bytes(content)
    with pytest.raises(FedloraError, match=name) as caught:
        peft_folder.load(ours, BASE)
    assert "\n" not in str(caught.value)


def test_a_pickle_is_refused_unread(ours: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return pytest.exit, ("the pickle was read",)

    (ours / "adapter_model.safetensors").unlink()
    (ours / "adapter_model.bin").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(FedloraError, match="is a pickle"):
        peft_folder.load(ours, BASE)


def test_an_adapter_of_another_base_is_refused(ours: Path) -> None:
    with pytest.raises(FedloraError, match="another base model"):
        peft_folder.load(ours, "c" * 64)


def test_other_values_than_were_written_are_refused_or_believed_on_request(ours: Path) -> None:
    tensors = load_file(ours / "adapter_model.safetensors")
    changed = {name: tensor + 1 for name, tensor in tensors.items()}
    save_file(changed, ours / "adapter_model.safetensors", {"format": "pt"})
    with pytest.raises(FedloraError, match="is not what was written"):
        peft_folder.load(ours, BASE)
    (ours / "fedlora.json").unlink()

    assert torch.equal(
        peft_folder.load(ours, BASE).down["q"], changed["base_model.model.q.lora_A.weight"]
    )


@pytest.mark.parametrize(
    ("tensors", "reason"),
    [
        ({}, "no LoRA layer"),
        ({"q.lora_A.weight": (2, 6)}, "two matrices of one rank"),
        ({"q.lora_A.weight": (2, 6), "q.lora_B.weight": (6, 3)}, "two matrices of one rank"),
        ({"q.lora_B.weight": (6, 3)}, "neither LoRA of a linear layer nor a head"),
        ({"c.lora_A.weight": (2, 6, 3, 3), "c.lora_B.weight": (6, 2, 1, 1)}, "two matrices"),
        ({"e.lora_embedding_A": (2, 6)}, "neither LoRA of a linear layer nor a head"),
        ({"q.lora_A.weight": (7, 6), "q.lora_B.weight": (6, 7)}, "does not fit layer 'q'"),
        ({"classifier.weight": (7, 6)}, "neither LoRA of a linear layer nor a head"),
    ],
)
def test_tensors_that_are_no_plain_lora_are_refused(
    ours: Path, tensors: dict[str, tuple[int, ...]], reason: str
) -> None:
    save_file(
        {f"base_model.model.{name}": torch.ones(shape) for name, shape in tensors.items()},
        ours / "adapter_model.safetensors",
    )
    with pytest.raises(FedloraError, match=reason):
        peft_folder.load(ours, BASE)


def test_a_head_in_no_module_is_refused(tmp_path: Path) -> None:
    spec = AdapterSpec(BASE, (LayerSpec("q", 6, 6, 2),), 4.0, head=(("weight", (3, 6)),))
    adapter = LoraAdapter.from_flat(spec, torch.ones(spec.size))
    with pytest.raises(FedloraError, match="is in no module"):
        peft_folder.save(adapter, tmp_path / "a", "org/base", None)
    assert list(tmp_path.iterdir()) == []


ODD: list[Any] = [None, True, -1, 0, 10**400, "x", "\ud800", [], [1], {}, {"q": "x"}, [[[]]]]


@given(st.data())
@settings(
    deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_mangled_folder_is_refused_in_one_line_or_is_a_sound_adapter(
    ours: Path, data: st.DataObject
) -> None:
    path = ours / data.draw(
        st.sampled_from(["adapter_config.json", "adapter_model.safetensors", "fedlora.json"])
    )
    whole = path.read_bytes()
    place = data.draw(st.integers(0, len(whole) - 1))
    if path.suffix == ".json" and data.draw(st.booleans()):
        raw = json.loads(whole)
        node = raw.get("spec", raw)
        node[data.draw(st.sampled_from(sorted(node)))] = data.draw(st.sampled_from(ODD))
        path.write_text(json.dumps(raw))
    else:
        inserted = data.draw(st.binary(max_size=4))
        path.write_bytes(whole[:place] + inserted + whole[place + data.draw(st.integers(0, 4)) :])
    try:
        adapter = peft_folder.load(ours, BASE)
    except FedloraError as error:
        message = str(error)
        assert "\n" not in message
        assert str(ours) in message
    else:
        assert bool(torch.isfinite(adapter.flatten()).all())
    finally:
        path.write_bytes(whole)
