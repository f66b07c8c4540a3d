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

_IMAGES = "AutoModelForImageClassification"

_DIGEST = re.compile(r"[0-9a-f]{64}")

_CARD = """---
{metadata}
---

# LoRA adapter{of}

{facts}

| fact | value |
|---|---|
| base model | {base} |
{base_digest}| digest of the adapter | `{digest}` |
| adapted layers | {layers} |
| rank | {rank} |
| alpha | {spec.alpha:g}{rslora} |
| trainable values | {spec.size:,} |
| head | {head} |

## Use

```python
from peft import PeftModel
{base_code}
model = PeftModel.from_pretrained(base, "PATH_OF_THIS_FOLDER")
```
{plain}
Made with fedlora.
"""

_BASE_DIGEST = "| digest of the base model | `{}` |\n"

_BASE_CODE = """\
from transformers import {model_class}
base = {model_class}.from_pretrained({base!r}{labels})"""

_SOME_BASE = "base = ...  # the model that the adapter's layers are of"

_PLAIN = """
Or without PEFT's class, by transformers itself: `base.load_adapter("PATH_OF_THIS_FOLDER")`.
"""


def model_card(adapter: LoraAdapter, base: str | None, task_type: str | None, facts: str) -> str:
    """The text of README.md.

    Args:
        adapter: the adapter.
        base: name or path of the base model; None when it is not known.
        task_type: PEFT's name of the task; None for image classification, or when it is not known.
        facts: what is known beyond the adapter itself; plain text.
    """
    spec = adapter.spec
    ranks = sorted({layer.rank for layer in spec.layers})
    metadata = ModelCardData(
        base_model=base if base and _is_hub_id(base) else None,
        library_name="peft",
        tags=["lora", "fedlora"],
    )
    text = _CARD.format(
        metadata=metadata.to_yaml().strip(),
        of=f" for {base}" if base else "",
        base=f"`{base}`" if base else "not known",
        base_digest=_BASE_DIGEST.format(spec.base) if _DIGEST.fullmatch(spec.base) else "",
        facts=html.escape(facts, quote=False),
        spec=spec,
        digest=adapter.digest(),
        layers=len(spec.layers),
        rank=ranks[0] if len(ranks) == 1 else f"{ranks[0]} to {ranks[-1]}",
        rslora=", divided by the root of the rank (rsLoRA)" if spec.rslora else "",
        head=", ".join(f"`{name}` {list(shape)}" for name, shape in spec.head) or "none",
        base_code=_base_code(spec, base, task_type),
        plain=_PLAIN if task_type == "CAUSAL_LM" else "",
    )
    return str(ModelCard(text))


def _base_code(spec: AdapterSpec, base: str | None, task_type: str | None) -> str:
    """The lines that load the base model, as far as they are known."""
    model_class = _model_class(base, task_type) if base else None
    if model_class is None:
        return _SOME_BASE
    labels = _labels(spec, task_type)
    return _BASE_CODE.format(model_class=model_class, base=base, labels=labels)


def _model_class(base: str, task_type: str | None) -> str | None:
    """What loads the module that the layers' names are paths in; None when nothing tells."""
    if task_type is not None:
        return _CLASSES.get(task_type, "AutoModel")
    from transformers import AutoConfig  # takes seconds

    try:
        described = AutoConfig.from_pretrained(base, local_files_only=True)
    except (OSError, ValueError):  # not on this machine
        return None
    # An image classifier made of a CLIP has a head of its own, and no projection.
    if described.model_type == "clip":
        return "CLIPVisionModelWithProjection"
    if hasattr(described, "image_size"):  # of its features alone, too
        return _IMAGES
    own = (described.architectures or [""])[0]
    classes = (_IMAGES, *_CLASSES.values())
    return next((c for c in classes if own.endswith(c.removeprefix("AutoModel"))), "AutoModel")


def _labels(spec: AdapterSpec, task_type: str | None) -> str:
    """What makes room in the base model for a head of other labels than its own."""
    rows = [shape[0] for _, shape in spec.head if len(shape) == 2]
    if task_type not in (None, "SEQ_CLS", "TOKEN_CLS") or len(rows) != 1:
        return ""
    return f", num_labels={rows[0]}, ignore_mismatched_sizes=True"


def _is_hub_id(name: str) -> bool:
    return bool(re.fullmatch(r"[\w.-]+/[\w.-]+", name)) and not Path(name).exists()
