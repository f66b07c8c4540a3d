"""From prompts to adapters: a decoder of hyper-convolutions over tokens."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import torch
from pydantic import Field, NonNegativeFloat
from torch import Tensor
from typing_extensions import override

from fedlora.adapter import AdapterSpec, LoraAdapter
from fedlora.adapter.canonical import canonicalise
from fedlora.adapter.resize import at_one_rank, resize
from fedlora.errors import FedloraError
from fedlora.generators import store
from fedlora.generators.bank import check_bank
from fedlora.generators.condition import Projection
from fedlora.generators.contract import Generator, Progress, TrainingBank
from fedlora.generators.hyperconv_network import DecoderConfig, HyperConvNetwork
from fedlora.generators.learner import Data, Plan, identity
from fedlora.generators.pairs import Pairs
from fedlora.generators.tokens import Tokeniser, TokenScale, TokensConfig
from fedlora.generators.tokens.scale import Weighting
from fedlora.section import Section

# Rows that are decoded at once: what they take stays some hundred megabytes.
AT_ONCE = 64


class HyperConvConfig(Section):
    """A condition is a row of prompts, each `prompt_width` features."""

    prompt_width: int | None = Field(
        None, ge=1, description="features of one encoded prompt; absent: the condition is one"
    )
    samples_per_prompt: int = Field(4, ge=1, description="prompts in a group")
    test_ratio: float = Field(0.0, ge=0, lt=1, description="share of prompts kept to validate on")
    condition_components: int = Field(24, ge=1, description="principal components of encodings")
    tokens: TokensConfig = TokensConfig()
    weighting: Weighting = Field("energy", description="of tokens and entries in the loss")
    token_weights: tuple[NonNegativeFloat, ...] = Field(
        (), description="one a token, times those of `weighting`; all alike when empty"
    )
    decoder: DecoderConfig = DecoderConfig()
    training: Plan = Plan(epochs=200, batch_size=32, learning_rate=1e-3)

    def each_token(self, mask: Tensor) -> Tensor:
        """(S, 1) weights of the tokens whose entries are no padding where mask (S, D) is True.

        Raises:
            FedloraError: `token_weights` has another number, or none above 0 but on padding.
        """
        given = torch.tensor(self.token_weights or [1.0] * len(mask)).unsqueeze(1)
        if len(given) != len(mask) or not bool((given * mask).any()):
            raise FedloraError(
                f"generator.token_weights: {len(given)} weights, {int((given > 0).sum())} of them"
                f" above 0, for an adapter of {len(mask)} tokens, {int(mask.any(1).sum())} of which"
                " hold values; give each its own"
            )
        return given


class HyperConv(Generator):
    """Adapter = decode(group of prompts), after the LoRA Parameter Generator and Drag-and-Drop.

    Unlike the public prototype, it learns from many tasks, pairs a group of prompts with adapters
    of its own task alone, cuts no adapter off, and emits deviations from the bank's mean in one
    gauge. A condition (c,) is any number of prompts, flat; what several groups lead to is
    averaged, the last filled up with the first prompts. A task vector can stand in for prompts:
    it is then one prompt.
    """

    Config = HyperConvConfig
    takes_prompts = True
    least_tasks = 2

    @override
    def fit(self, bank: TrainingBank, *, seed: int, workdir: Path, progress: Progress) -> None:
        from fedlora.generators.training import train  # Lightning takes seconds to import

        check_bank(bank, self.least_tasks)
        self._width = self.config.prompt_width or bank.conditions.shape[1]
        prompts = self._apart(bank.conditions)
        self._group = min(self.config.samples_per_prompt, prompts.shape[1])
        kept = self._kept_back(prompts.shape[1])
        self._project = Projection.of(
            prompts[:, kept:].flatten(0, 1), self.config.condition_components
        )
        aligned, _ = canonicalise(at_one_rank(bank.adapters))
        tokeniser = Tokeniser(aligned[0].spec, self.config.tokens)
        tokens = torch.stack([tokeniser.encode(adapter).float() for adapter in aligned])
        self._scale = TokenScale.of(tokeniser, tokens)
        targets, encoded = self._scale.normalise(tokens), self._encode(prompts)
        self._network = train(
            self._build,
            Pairs(targets, encoded[:, kept:], self._group),
            self.config.training,
            validation=self._judged(targets, encoded[:, :kept]),
            seed=seed,
            identity=identity(self.config, seed, targets, encoded),
            workdir=workdir,
            progress=progress,
        )
        self.facts = {
            "tokens": tokeniser.tokens,
            "prompts": prompts.shape[1],
            "samples": len(targets),
            "tasks": len(set(bank.tasks)),
        }
        progress(self.facts)

    @override
    def sample(
        self, conditions: Tensor, *, seed: int, rank: int | None = None
    ) -> list[LoraAdapter]:
        """One adapter a row; the seed changes nothing, since nothing is drawn."""
        groups = self._grouped(self._encode(self._apart(conditions)))
        made = [
            self._scale.tokeniser.decode(tokens)
            for rows in groups.split(AT_ONCE)
            for tokens in self._scale.restore(self._decode(rows))
        ]
        return made if rank is None else [resize(a, a.spec.with_rank(rank)) for a in made]

    @override
    def save(self, folder: Path) -> None:
        parts = {
            "network": self._network.state_dict(),
            "scale": self._scale.tensors(),
            "condition": self._project.tensors(),
        }
        config, spec = self.config.model_dump(mode="json"), self._scale.tokeniser.spec
        facts = self.facts | {"width": self._width, "group": self._group}
        store.write(folder, store.Stored(self.name(), config, spec, facts, store.join(parts)))

    @classmethod
    @override
    def load(cls, folder: Path) -> Self:
        stored = store.read(folder, cls.name())
        try:
            self = cls(HyperConvConfig.model_validate(stored.config))
            parts = store.parts(stored.tensors)
            self._hold(Tokeniser(stored.spec, self.config.tokens), parts, stored.facts)
        except (KeyError, RuntimeError, ValueError, TypeError) as error:
            raise store.incomplete(folder, error) from None
        return self

    def _hold(
        self,
        tokeniser: Tokeniser,
        parts: Mapping[str, Mapping[str, Tensor]],
        facts: Mapping[str, int],
    ) -> None:
        self._width, self._group = int(facts["width"]), int(facts["group"])
        self.facts = {name: n for name, n in facts.items() if name not in ("width", "group")}
        self._scale = TokenScale.load(tokeniser, parts["scale"])
        self._project = Projection.load(parts["condition"])
        self._network = self._build().eval()
        self._network.load_state_dict(parts["network"])

    def _build(self) -> HyperConvNetwork:
        by_token = self.config.each_token(self._scale.tokeniser.mask)
        weights = self._scale.weights(self.config.weighting, by_token)
        features = self._project.axes.shape[1]
        return HyperConvNetwork(self._group, features, weights, self.config.decoder)

    def _apart(self, conditions: Tensor) -> Tensor:
        """Conditions (m, c) as prompts (m, P, width); of another c, one prompt that is refused."""
        width = self._width
        if conditions.ndim != 2 or not conditions.shape[1] or conditions.shape[1] % width:
            return conditions.unsqueeze(1)
        return conditions.reshape(len(conditions), -1, width)

    def _encode(self, prompts: Tensor) -> Tensor:
        """(m, P, width) -> (m, P, k); raises FedloraError for another width, NaN or infinity."""
        return self._project(prompts.flatten(0, 1)).view(*prompts.shape[:2], -1)

    def _grouped(self, encoded: Tensor) -> Tensor:
        """(m, P, k) -> (m, groups, group, k); the first prompts again fill the last group."""
        m, prompts, k = encoded.shape
        groups = math.ceil(prompts / self._group)
        filled = encoded[:, torch.arange(groups * self._group) % prompts]
        return filled.view(m, groups, self._group, k)

    def _decode(self, groups: Tensor) -> Tensor:
        """Normalised tokens (m, S, D), the mean over each row's groups."""
        with torch.inference_mode():
            tokens: Tensor = self._network(groups.flatten(0, 1))
            return tokens.view(*groups.shape[:2], *tokens.shape[1:]).mean(1)

    def _kept_back(self, prompts: int) -> int:
        """How many of a task's prompts validate: whole groups, and one group at least learns."""
        groups = round(prompts * self.config.test_ratio / self._group)
        return int(min(groups, prompts // self._group - 1) * self._group)

    def _judged(self, targets: Tensor, prompts: Tensor) -> Data | None:
        return Pairs(targets, prompts, self._group) if prompts.shape[1] else None


def outline(config: HyperConvConfig, spec: AdapterSpec, prompts: int, width: int) -> dict[str, int]:
    """What a fit would build, counted: tokens, entries of a token, trainable parameters.

    Raises:
        FedloraError: the adapter needs more tokens than the configuration allows, or has not as
            many as it weighs.
    """
    tokeniser = Tokeniser(spec, config.tokens)
    features = min(config.condition_components, width)
    group = min(config.samples_per_prompt, prompts)
    config.each_token(tokeniser.mask)
    with torch.device("meta"):
        weights = torch.empty(tokeniser.mask.shape)
        network = HyperConvNetwork(group, features, weights, config.decoder)
    return {
        "tokens": tokeniser.tokens,
        "entries": tokeniser.entries,
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
    }
