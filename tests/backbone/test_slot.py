"""A frozen model takes adapters in place, and gives back exactly what it took."""

from dataclasses import replace

import pytest
import torch
from transformers import BertConfig, BertModel, GPT2Config, GPT2LMHeadModel

from fedlora.adapter import LoraAdapter
from fedlora.backbone import AdapterSlot, load_base, open_slot
from fedlora.backbone.targets import find_targets
from fedlora.config import BackboneConfig, LoraSection
from fedlora.errors import FedloraError
from tests.adapters import random_adapter

CPU = torch.device("cpu")
VIT = BackboneConfig(name="tiny_vit")


@pytest.fixture(scope="module")
def slot() -> AdapterSlot:
    return AdapterSlot(load_base(VIT), LoraSection(rank=3, alpha=6), CPU)


def logits(slot: AdapterSlot) -> torch.Tensor:
    images = torch.rand(4, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        return slot.model(pixel_values=images).logits


def test_what_is_written_is_read_back_bit_for_bit(slot: AdapterSlot):
    adapter = random_adapter(slot.spec, 1, 0.1)
    slot.write(adapter)
    assert slot.read().digest() == adapter.digest()


def test_a_fresh_adapter_changes_nothing_and_a_random_one_does(slot: AdapterSlot):
    slot.write(random_adapter(slot.spec, 1, 0.1))
    with slot.disabled():
        base = logits(slot)
    assert not torch.allclose(logits(slot), base)
    slot.write(slot.fresh(0))
    assert torch.equal(logits(slot), base)


def test_an_adapter_acts_as_its_delta_added_to_the_weight(slot: AdapterSlot):
    adapter = random_adapter(slot.spec, 1, 0.1)
    slot.write(adapter)
    ours = logits(slot)
    plain = load_base(VIT).model
    with torch.inference_mode():
        for layer in adapter.spec.layers:
            plain.get_submodule(layer.name).weight += adapter.delta(layer.name)
        images = torch.rand(4, 1, 28, 28, generator=torch.Generator().manual_seed(0))
        assert torch.allclose(plain(pixel_values=images).logits, ours, atol=1e-4)


def test_only_the_adapter_trains_and_only_its_dropout_is_noisy():
    slot = AdapterSlot(load_base(VIT), LoraSection(rank=2, dropout=0.5), CPU)
    trainable = [name for name, p in slot.model.named_parameters() if p.requires_grad]
    assert all("lora_" in name for name in trainable)
    slot.write(random_adapter(slot.spec, 1, 0.1))
    with slot.training(seed=0), torch.inference_mode():
        noisy = logits(slot)
        assert not torch.equal(noisy, logits(slot))
    assert torch.equal(logits(slot), logits(slot))


@pytest.mark.parametrize("change", [{"base": "0" * 64}, {"alpha": 1.0}, {"rslora": True}])
def test_an_adapter_of_another_place_is_refused(slot: AdapterSlot, change: dict):
    other = replace(slot.spec, **change)
    with pytest.raises(FedloraError, match="adapter of"):
        slot.write(LoraAdapter.from_flat(other, torch.zeros(other.size)))


def test_targets_are_found_in_any_architecture():
    bert = BertModel(BertConfig(vocab_size=8, hidden_size=8, num_hidden_layers=2,
                                num_attention_heads=2, intermediate_size=8))  # fmt: skip
    gpt = GPT2LMHeadModel(GPT2Config(vocab_size=8, n_embd=8, n_layer=2, n_head=2))
    assert {name.rpartition(".")[2] for name in find_targets(bert, "auto", None)} == {
        "query",
        "value",
    }
    assert len(find_targets(gpt, "auto", [1])) == 1
    with pytest.raises(FedloraError, match="did you mean 'query'"):
        find_targets(bert, ["querry"], None)
    with pytest.raises(FedloraError, match=r"the model has \[0, 1\]"):
        find_targets(bert, "auto", [7])


def test_the_rank_of_a_layer_is_bounded_by_its_size():
    with pytest.raises(FedloraError, match=r"lora\.rank=129 does not fit"):
        AdapterSlot(load_base(VIT), LoraSection(rank=129), CPU)


def test_a_model_that_is_not_there_is_answered_with_what_is(tmp_path):
    with pytest.raises(FedloraError, match="without a network"):
        load_base(BackboneConfig(name="nobody/no-such-model"))
    with pytest.raises(FedloraError, match=r"has no config\.json"):
        load_base(BackboneConfig(name=str(tmp_path)))


def test_a_process_opens_one_model():
    assert open_slot(VIT, LoraSection(), "cpu") is open_slot(VIT, LoraSection(), "cpu")


@pytest.mark.parametrize("name", ["tiny_vit", "mini_vit", "minilm", "tiny_clip", "smollm2"])
def test_models_attend_without_the_matrix_of_attention(name: str):
    assert load_base(BackboneConfig(name=name)).model.config._attn_implementation == "sdpa"


def test_no_graph_is_built_below_the_lowest_adapter():
    slot = AdapterSlot(load_base(VIT), LoraSection(rank=2, alpha=4, layers=(1,)), CPU)
    blocks = slot.base.model.vit.layers
    states = []
    hooks = [block.register_forward_hook(lambda *call: states.append(call[2])) for block in blocks]
    slot.model(pixel_values=torch.rand(2, 1, 28, 28))
    for hook in hooks:
        hook.remove()

    assert [state.requires_grad for state in states[:2]] == [False, True]
