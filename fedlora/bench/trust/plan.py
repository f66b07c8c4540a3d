"""Which federations are lived through: attacks, how many attack, and what stands against them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fedlora.attacks.backdoor import BackdoorConfig
from fedlora.config import RunConfig, from_dict

CLEAN = "none"
TRIGGER = BackdoorConfig(target=0, size=3)
"""What newcomers' test images are marked with, whoever attacks."""

_BACKDOOR = {"name": "backdoor", "target": TRIGGER.target, "size": TRIGGER.size}
ATTACKS: Mapping[str, dict[str, Any]] = {
    "sign_flip": {"name": "sign_flip", "factor": 2.0},
    "scaling": {"name": "scaling"},
    "label_flip": {"name": "label_flip"},
    "backdoor": {**_BACKDOOR, "boost": None},
    "backdoor within the limits": {**_BACKDOOR, "boost": 2.5},
    "quiet backdoor": {**_BACKDOOR, "boost": 1.0},
    "spoofing": {"name": "spoofing"},
    "lie": {"name": "lie"},
    "lie in disguise": {"name": "lie", "apart": 0.1},
    "lie at z 1.5": {"name": "lie", "z": 1.5, "apart": 0.1},
    "min_max": {"name": "min_max"},
    "min_max in disguise": {"name": "min_max", "apart": 0.1},
    "gauge": {"name": "gauge"},
    "gauge by rank": {"name": "gauge", "by_rank": True},
    "gaussian": {"name": "gaussian"},
    "replay": {"name": "replay"},
    "nan_bomb": {"name": "nan_bomb"},
    "shape_bomb": {"name": "shape_bomb"},
}
BOMBS = ("nan_bomb", "shape_bomb")
"""Attacks that every run refuses, whatever its defences."""
RULES = (
    "median",
    "trimmed_mean",
    "krum",
    "multi_krum",
    "bulyan",
    "geometric_median",
    "clipped",
)
TOLD = ("trimmed_mean", "krum", "multi_krum", "bulyan")
"""Rules that are told how many attack; in peace, a fifth."""
DEFENCES = ("none", "screening", "rounds", "both", "in depth", "peers", "trimmed", *RULES)
CLIENTS, NEWCOMERS = 20, 4
SHARE, PEERS = 0.2, 3


@dataclass(frozen=True)
class Case:
    """One federation.

    attack: a name of `ATTACKS`, or `CLEAN`.
    share: of the bank's clients that attack.
    defence: a name of `DEFENCES`; "screening" is that of the bank alone; "rounds" is what runs do
        by default, screening of the rounds too; "both" is that, and rounds by multi_krum; "trimmed"
        is none of these, but generators that leave out and cut samples; "in depth" is "both" and
        "trimmed"; "peers" is screening of the bank, and a trial of each adapter by three other
        clients; a name of `RULES` is screening of the bank, and rounds by that rule.
    deal: each client a task of its own ("tasks"), or four clients a task that share its examples
        alike ("iid") or by class ("dirichlet"); "texts" are tasks of texts, one a client.
    """

    attack: str
    share: float
    defence: str
    deal: str
    seed: int

    @property
    def name(self) -> str:
        """A file's name."""
        return f"{self.deal}-{self.attack}-{self.share:g}-{self.defence}-{self.seed}"


Kind = tuple[str, float, str]
"""An attack, the share of the clients that attack, and how examples are dealt."""

_DEEP = ("both", "in depth")
_PEACE = (CLEAN, 0.0)
_LAYERS = ("none", "screening", "rounds", *_DEEP)
_SOME = ("sign_flip", "label_flip", "backdoor", "quiet backdoor")
_SHARDED = (*_SOME, "gauge", "min_max in disguise")

PARTS: Mapping[str, tuple[Sequence[Kind], Sequence[str]]] = {
    "attacks": (
        [
            (*_PEACE, "tasks"),
            *[(attack, SHARE, "tasks") for attack in ATTACKS if attack not in BOMBS],
        ],
        DEFENCES,
    ),
    "bombs": ([(attack, SHARE, "tasks") for attack in BOMBS], _LAYERS),
    "shares": (
        [(attack, share, "tasks") for attack in _SOME for share in (0.1, 0.3, 0.4)],
        _LAYERS,
    ),
    "shards": (
        [
            (attack, share, deal)
            for deal in ("iid", "dirichlet")
            for attack, share in (_PEACE, *[(attack, SHARE) for attack in _SHARDED])
        ],
        _LAYERS,
    ),
    "texts": ([(*_PEACE, "texts")], _LAYERS),
}
"""The parts of the bench that are federations, each of them against each of its defences.

attacks: every attack but the bombs, by a fifth of the clients. bombs: these. shares: some attacks,
by fewer and by more. shards: some, where clients share a task. texts: in peace, what defences cost
where every client has other classes.
"""


_TEXTS: Mapping[str, Any] = {
    "backbone": {"name": "minilm", "max_length": 24},
    "lora": {"rank": 4, "alpha": 8, "layers": [4, 5]},
    "tasks": {
        "name": "class_subsets",
        "source": {"name": "bbc_news"},
        "classes_per_task": 2,
        "bank": 8,
        "held_out": 2,
        "splits": {"train": 64, "validation": 16, "test": 100},
    },
}


def cases(part: str, seeds: tuple[int, ...]) -> list[Case]:
    """The federations of one part."""
    kinds, defences = PARTS[part]
    return [
        Case(attack, share, defence, deal, seed)
        for attack, share, deal in kinds
        for defence in defences
        for seed in seeds
    ]


def config_of(case: Case) -> RunConfig:
    """The run of a case: as many clients in each, on tasks that its seed draws."""
    share = max(case.share, SHARE)
    alone, screened = case.deal in ("tasks", "texts"), case.defence not in ("none", "trimmed")
    raw: dict[str, Any] = {
        "name": "trust",
        "seeds": [case.seed],
        "backbone": {"name": "tiny_vit"},
        "lora": {"rank": 4, "alpha": 8},
        "tasks": {
            "name": "image_domains",
            "bank": CLIENTS if alone else CLIENTS // 4,
            "held_out": NEWCOMERS,
            "splits": {"train": 64 if alone else 256, "validation": 16, "test": 150},
            "seed": 50 + case.seed,
        },
        "warm_start": {
            "rounds": 5,
            "weights": "equal",
            "train": {"epochs": 1, "batch_size": 16, "learning_rate": 2e-2},
        },
        "finetune": {"epochs": 4, "batch_size": 16, "learning_rate": 1e-2},
        "task_vector": {"samples": 32, "features": ["early"]},
        "generator": {"name": "topk"},
        "evaluation": {"baselines": [], "few_labels": 8, "one_epoch": False},
        "screening": {"enabled": screened, "rounds": case.defence in ("rounds", *_DEEP)},
        "runtime": {"training": "batched", "group": 10},
    }
    if case.deal == "texts":
        raw |= _TEXTS
        raw["tasks"] = {**raw["tasks"], "seed": 50 + case.seed}
    if not alone:
        skew = {"partition": "dirichlet", "alpha": 0.3} if case.deal == "dirichlet" else {}
        raw["shards"] = {"per_task": 4, "min_examples": 2, **skew}
    if case.defence == "peers":
        raw["screening"]["peers"] = PEERS
    if case.defence in ("trimmed", "in depth"):
        raw["learning"] = {"trim": share, "cap": 1.5}
    if case.defence in _DEEP:
        raw["warm_start"]["aggregation"] = {"name": "multi_krum", "share": share}
    if case.defence in RULES:
        own = {"share": share} if case.defence in TOLD else {}
        raw["warm_start"]["aggregation"] = {"name": case.defence, **own}
    if case.attack != CLEAN:
        raw["attackers"] = {"attack": ATTACKS[case.attack], "share": case.share}
    return from_dict(raw, "bench trust")
