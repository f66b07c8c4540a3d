"""A base model is the same model wherever it is loaded."""

import torch
from transformers import AutoTokenizer, BertConfig, BertForMaskedLM

from fedlora.backbone import load_base
from fedlora.backbone.weights import locate
from fedlora.config import BackboneConfig


def test_a_checkpoint_without_a_pooler_is_one_base_model_in_every_process(tmp_path):
    AutoTokenizer.from_pretrained(locate("minilm")).save_pretrained(tmp_path)
    config = BertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=2,
                        intermediate_size=8)  # fmt: skip
    BertForMaskedLM(config).save_pretrained(tmp_path)

    torch.manual_seed(1)
    one = load_base(BackboneConfig(name=str(tmp_path)))
    torch.manual_seed(2)
    other = load_base(BackboneConfig(name=str(tmp_path)))

    assert one.model.pooler.dense.weight.shape == (8, 8)
    assert one.digest == other.digest
