"""lm-evaluation-harness on questions from a file, for the bench to compare with.

    .cache/lm_eval/bin/python simulations/peers/lm_harness.py MODEL QUESTIONS.jsonl OUT.json

MODEL: a folder that save_pretrained wrote. QUESTIONS: rows of question, choices and label. OUT: acc
and acc_norm of each question, in the order of the file.
"""

import json
import sys
from pathlib import Path

from lm_eval import simple_evaluate
from lm_eval.api.task import ConfigurableTask
from lm_eval.models.huggingface import HFLM

model, questions, out = sys.argv[1:]
task = ConfigurableTask(
    config={
        "task": "questions",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": questions}},
        "test_split": "test",
        "output_type": "multiple_choice",
        "doc_to_text": "{{question}}",
        "doc_to_choice": "{{choices}}",
        "doc_to_target": "{{label}}",
        "target_delimiter": " ",
        "metric_list": [{"metric": "acc"}, {"metric": "acc_norm"}],
    }
)
reader = HFLM(pretrained=model, device="cpu", dtype="float32", batch_size=16)
samples = simple_evaluate(reader, tasks=[task], bootstrap_iters=0)["samples"]["questions"]
samples.sort(key=lambda sample: sample["doc_id"])
rows = [{"acc": sample["acc"], "acc_norm": sample["acc_norm"]} for sample in samples]
Path(out).write_text(json.dumps(rows))
