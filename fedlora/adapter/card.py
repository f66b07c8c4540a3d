"""The model card beside an adapter: facts, and how to load it."""

import html
import re
from pathlib import Path

from huggingface_hub import ModelCard, ModelCardData

from fedlora.adapter.lora import LoraAdapter
from fedlora.adapter.spec import AdapterSpec

_CLASSES = {
    "CAUSAL_LM": "AutoModelForCausalLM",
    "SEQ_CLS": "AutoModelForSequenceClassification",
    "SEQ_2_SEQ_LM": "AutoModelForImageTextToText",
    "TOKEN_CLS": "AutoModelForTokenClassification",
    "QUESTION_ANS": "AutoModelForQuestionAnswering",
}

_CARD = """---
{metadata}
---

# LoRA adapter for {base}

{facts}

| fact | value |
|---|---|
| base model | `{base}` |
| digest of the base model | `{spec.base}` |
| digest of the adapter | `{digest}` |
| adapted layers | {layers} |
| rank | {rank} |
| alpha | {spec.alpha:g}{rslora} |
| trainable values | {spec.size:,} |
| head | {head} |

## Use

```python
from peft import PeftModel
from transformers import {model_class}
base = {model_class}.from_pretrained({base!r}{labels})
model = PeftModel.from_pretrained(base, "PATH_OF_THIS_FOLDER")
```
{plain}
Made with fedlora.
"""

_PLAIN = """
Or without PEFT's class, by transformers itself: `base.load_adapter("PATH_OF_THIS_FOLDER")`.
"""


def model_card(adapter: LoraAdapter, base: str, task_type: str | None, facts: str) -> str:
    """The text of README.md.

    Args:
        adapter: the adapter.
        base: name or path of the base model.
        task_type: PEFT's name of the task; None for image classification.
        facts: what is known beyond the adapter itself; plain text.
    """
    spec = adapter.spec
    ranks = sorted({layer.rank for layer in spec.layers})
    metadata = ModelCardData(
        base_model=base if _is_hub_id(base) else None, library_name="peft", tags=["lora", "fedlora"]
    )
    text = _CARD.format(
        metadata=metadata.to_yaml().strip(),
        base=base,
        facts=html.escape(facts, quote=False),
        spec=spec,
        digest=adapter.digest(),
        layers=len(spec.layers),
        rank=ranks[0] if len(ranks) == 1 else f"{ranks[0]} to {ranks[-1]}",
        rslora=", divided by the root of the rank (rsLoRA)" if spec.rslora else "",
        head=", ".join(f"`{name}` {list(shape)}" for name, shape in spec.head) or "none",
        model_class=_model_class(base, task_type),
        labels=_labels(spec, task_type),
        plain=_PLAIN if task_type == "CAUSAL_LM" else "",
    )
    return str(ModelCard(text))


def _model_class(base: str, task_type: str | None) -> str:
    """What loads the module that the layers' names are paths in."""
    if task_type is not None:
        return _CLASSES.get(task_type, "AutoModel")
    from transformers import AutoConfig  # takes seconds

    try:
        described = AutoConfig.from_pretrained(base, local_files_only=True)
    except (OSError, ValueError):  # not on this machine
        return "AutoModelForImageClassification"
    # An image classifier made of a CLIP has a head of its own, and no projection.
    clip = described.model_type == "clip"
    return "CLIPVisionModelWithProjection" if clip else "AutoModelForImageClassification"


def _labels(spec: AdapterSpec, task_type: str | None) -> str:
    """What makes room in the base model for a head of other labels than its own."""
    rows = [shape[0] for _, shape in spec.head if len(shape) == 2]
    if task_type not in (None, "SEQ_CLS", "TOKEN_CLS") or len(rows) != 1:
        return ""
    return f", num_labels={rows[0]}, ignore_mismatched_sizes=True"


def _is_hub_id(name: str) -> bool:
    return bool(re.fullmatch(r"[\w.-]+/[\w.-]+", name)) and not Path(name).exists()
