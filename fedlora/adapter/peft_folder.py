"""An adapter as a PEFT folder, which plain PEFT and transformers load without fedlora.

`adapter_config.json`, `adapter_model.safetensors`, `README.md`, and `fedlora.json`: the spec and
the digest, which PEFT has no place for.
"""

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

from torch import Tensor

from fedlora import atomic, foreign, frame
from fedlora.adapter import peft_config
from fedlora.adapter.card import model_card
from fedlora.adapter.lora import LoraAdapter
from fedlora.adapter.spec import AdapterSpec, LayerSpec
from fedlora.errors import FedloraError

CONFIG, WEIGHTS, SIDECAR = "adapter_config.json", "adapter_model.safetensors", "fedlora.json"
PREFIX = "base_model.model."
DOWN, UP = ".lora_A.weight", ".lora_B.weight"


def save(
    adapter: LoraAdapter,
    folder: Path,
    base_model_name_or_path: str | None,
    task_type: str | None,
    card: str | None = None,
) -> None:
    """Write the folder, whole or not at all; one that was there is replaced.

    Args:
        adapter: the adapter; its layers' names are paths in the model that PEFT is to wrap. The
            tensors of its head become PEFT's `modules_to_save`.
        folder: where to.
        base_model_name_or_path: what `from_pretrained` takes to load that model; None when it is
            not known.
        task_type: PEFT's name of the task (CAUSAL_LM, SEQ_CLS, FEATURE_EXTRACTION, ...); None for
            image classification, which PEFT has no name for, and when it is not known.
        card: facts for the model card: the task, the metrics, how the adapter came about.

    Raises:
        FedloraError: a tensor of the head is in no module, or the folder cannot be written.
    """
    tensors = {}
    for layer in adapter.spec.layers:
        tensors[f"{PREFIX}{layer.name}{DOWN}"] = adapter.down[layer.name]
        tensors[f"{PREFIX}{layer.name}{UP}"] = adapter.up[layer.name]
    for name, _ in adapter.spec.head:
        tensors[f"{PREFIX}{name}"] = adapter.head[name]
    sidecar = {"spec": json.loads(adapter.spec.to_json()), "digest": adapter.digest()}
    with atomic.folder(folder) as draft:
        _write_config(adapter.spec, draft, base_model_name_or_path, task_type)
        # transformers refuses a file that does not say which library wrote its tensors
        (draft / WEIGHTS).write_bytes(frame.pack(tensors, "format", "pt"))
        (draft / SIDECAR).write_text(json.dumps(sidecar, indent=2, sort_keys=True) + "\n")
        text = model_card(adapter, base_model_name_or_path, task_type, card or "")
        (draft / "README.md").write_text(text, encoding="utf-8")


def load(folder: Path, base_digest: str) -> LoraAdapter:
    """Read a folder that fedlora or plain PEFT wrote, from anybody.

    Layers, ranks and shapes come from the tensors; alpha and rsLoRA from the configuration. Alphas
    that differ between layers (`alpha_pattern`) become one, the rest multiplied into `up`.

    Args:
        folder: where from.
        base_digest: digest of the base model that the adapter belongs to. A folder of fedlora's
            is checked against it; of a plain PEFT folder it has to be believed.

    Raises:
        FedloraError: a file is missing, damaged or pickled, the adapter is not plain LoRA on
            linear layers, or it is of another base model.
    """
    folder = Path(folder)
    config = peft_config.read(folder / CONFIG)
    tensors = _read_weights(folder)
    try:
        adapter = assemble(tensors, config, base_digest)
        for layer in adapter.spec.layers:
            peft_config.check_rank(config, layer.name, layer.rank)
        if (folder / SIDECAR).exists():
            adapter = _check_sidecar(
                adapter, foreign.read_bytes(folder / SIDECAR, foreign.MOST_TEXT)
            )
    except FedloraError as error:
        raise FedloraError(f"adapter folder '{folder}': {error}") from None
    return adapter


def assemble(raw: dict[str, Tensor], config: dict[str, Any], base: str) -> LoraAdapter:
    """An adapter from PEFT's tensors, under PEFT's names.

    Args:
        raw: name -> tensor, as in adapter_model.safetensors.
        config: as in adapter_config.json; lora_alpha is needed.
        base: digest of the base model.

    Raises:
        FedloraError: a tensor is neither LoRA of a linear layer nor of a saved module.
    """
    tensors: dict[str, Tensor] = {}
    layers, head = [], []
    for key in sorted(raw):
        name = key.removeprefix(PREFIX)
        if name.endswith(DOWN):
            name = name.removesuffix(DOWN)
            down, up = raw[key], raw.get(f"{PREFIX}{name}{UP}")
            if up is None or down.ndim != 2 or up.ndim != 2 or len(down) != up.shape[1]:
                raise FedloraError(f"layer '{name}' lacks two matrices of one rank: save it again")
            if not (down.is_floating_point() and up.is_floating_point()):
                raise FedloraError(
                    f"layer '{name}' is of whole numbers ({down.dtype}, {up.dtype}), whose scale is"
                    " lost; save the adapter as float32"
                )
            layers.append(LayerSpec(name, down.shape[1], up.shape[0], len(down)))
            tensors |= {f"{name}.down": down.float(), f"{name}.up": up.float()}
        elif peft_config.in_saved_module(config, name):
            head.append((name, tuple(raw[key].shape)))
            tensors[f"head.{name}"] = raw[key].float()
        elif not name.endswith(UP) or f"{key.removesuffix(UP)}{DOWN}" not in raw:
            raise FedloraError(f"tensor {key!a:.120} is neither LoRA of a linear layer nor a head")
    if not layers:
        raise FedloraError("it holds no LoRA layer: was it saved as an adapter?")
    alphas = {layer.name: peft_config.alpha(config, layer.name) for layer in layers}
    alpha = alphas[layers[0].name] if len(set(alphas.values())) == 1 else config["lora_alpha"]
    for name, own in alphas.items():
        tensors[f"{name}.up"] = tensors[f"{name}.up"] * (own / alpha)
    rslora = bool(config.get("use_rslora"))
    spec = AdapterSpec(base, tuple(sorted(layers)), float(alpha), rslora, tuple(head))
    return LoraAdapter.from_tensors(spec, tensors)


def _write_config(spec: AdapterSpec, folder: Path, base: str | None, task_type: str | None) -> None:
    from peft import LoraConfig  # takes seconds, and reading needs none of it

    ranks = Counter(layer.rank for layer in spec.layers)
    rank = max(ranks, key=lambda r: (ranks[r], r))
    # PEFT writes whole numbers and takes others as well.
    alpha: Any = int(spec.alpha) if float(spec.alpha).is_integer() else spec.alpha
    modules = {name: name.rpartition(".")[0] for name, _ in spec.head}
    if loose := sorted(name for name, module in modules.items() if not module):
        raise FedloraError(f"head tensor '{loose[0]}' is in no module: name it MODULE.{loose[0]}")
    LoraConfig(
        base_model_name_or_path=base,
        task_type=task_type,
        inference_mode=True,
        r=rank,
        lora_alpha=alpha,
        use_rslora=spec.rslora,
        # One expression, because PEFT matches the names of a list as suffixes as well.
        target_modules="|".join(re.escape(layer.name) for layer in spec.layers),
        rank_pattern={
            f"^{re.escape(layer.name)}": layer.rank for layer in spec.layers if layer.rank != rank
        },
        modules_to_save=sorted(set(modules.values())) or None,
    ).save_pretrained(str(folder))


def _read_weights(folder: Path) -> dict[str, Tensor]:
    path = folder / WEIGHTS
    try:
        data = foreign.read_bytes(path)
    except FileNotFoundError:
        if (folder / "adapter_model.bin").exists():
            raise FedloraError(
                f"'{folder / 'adapter_model.bin'}' is a pickle, which can run code when it is"
                f" read: save it again as {WEIGHTS}"
            ) from None
        raise FedloraError(f"adapter folder '{folder}' has no {WEIGHTS}: copy it again") from None
    except OSError as error:
        raise FedloraError(f"'{path}' cannot be read ({error.strerror}): check it") from None
    try:
        return frame.unpack(data, limit=len(data))[0]
    except FedloraError as error:
        raise FedloraError(f"adapter file '{path}': {error}; copy it again") from None


def _check_sidecar(adapter: LoraAdapter, data: bytes) -> LoraAdapter:
    """The adapter under the spec that fedlora wrote down, if it still is that adapter."""
    try:
        raw = frame.read_json(data.decode())
        spec, digest = AdapterSpec.from_json(json.dumps(raw["spec"])), raw["digest"]
    except (FedloraError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise FedloraError(f"{SIDECAR} cannot be read ({error}): copy it again") from None
    if spec.base != adapter.spec.base:
        raise FedloraError(
            f"it is for another base model ({spec.base[:12]}, not {adapter.spec.base[:12]}):"
            " load the base model that it was trained on"
        )
    if (spec.alpha, spec.rslora) == (adapter.spec.alpha, adapter.spec.rslora):
        adapter = LoraAdapter.from_tensors(spec, adapter.tensors())
    if adapter.digest() != digest:
        raise FedloraError(
            f"it is not what was written: copy it again, or delete {SIDECAR} to take it as it is"
        )
    return adapter
