"""A configuration is read strictly, and a mistake is answered with its remedy."""

from pathlib import Path

import pytest

from fedlora import config as configuration
from fedlora import run_folder
from fedlora.config import AdoptionConfig
from fedlora.errors import FedloraError
from tests.conftest import small_config

MINIMAL = """
name: mine
backbone: {name: tiny_vit}
tasks: {name: image_domains}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text(MINIMAL)
    return path


def test_what_is_dumped_loads_as_the_same_configuration(file: Path, tmp_path: Path):
    config = configuration.load(file, ["lora.rank=8", "generator.name=topk", "seeds=[1,2]"])
    again = tmp_path / "again.yaml"
    again.write_text(configuration.dump(config))
    assert configuration.load(again) == config
    assert (config.lora.rank, config.generator.name, config.seeds) == (8, "topk", (1, 2))


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("lora.rnak=8", r"lora\.rnak: unknown key; did you mean 'rank'\?"),
        ("privacy.examples.epsilonn=1", r"privacy\.examples\.epsilonn: .*did you mean 'epsilon'"),
        (
            "privacy.examples.delta=0.999",
            r"\.delta: .*less than or equal to 0\.01",
        ),
        (
            "privacy.examples.clip=1e300",
            r"\.clip: .*less than or equal to 1000000",
        ),
        (
            "screening={enabled: false, peers: 3}",
            r": screening: enabled=false leaves peers without effect: leave one of them out",
        ),
        ("privacy.clients.foo=1", r"choose one of clip, delta, epsilon"),
        ("privacy.examples.epsilon=.inf", r"epsilon: must be a finite number \(got inf\)"),
        ("evaluation.baselines=[mean]", r"baselines\.0: takes keys, .* write \{name: mean\}"),
        ("evaluation.baselines=mean", r"baselines: must be a list"),
        ("tasks.splits.trai=3", r"tasks\.splits\.trai: unknown key; did you mean 'train'"),
        ("lorra.rank=8", r"lorra: unknown key; did you mean 'lora'\?"),
        ("lora.rank=many", r"lora\.rank: .*integer.*many"),
        ("lora.rank=0", r"lora\.rank: .*greater than or equal to 1"),
        ("lora.dora=true", r"lora\.dora: not supported"),
        ("tasks.name=image_domain", r"did you mean 'image_domains'\?"),
        ("tasks.held=3", r"tasks.*held: unknown key; did you mean 'held_out'\?"),
        ("tasks.source.name=fashion", r"did you mean 'fashion_mnist'\?"),
        ("generator.name=cvaee", r": generator\.name: unknown .*did you mean 'cvae'\?"),
        (
            "generator=topk",
            r": generator: takes keys, not 'topk'; give one, such as generator\.name",
        ),
        ("lora=8", r": lora: takes keys, not 8; give one, such as lora\.alpha"),
        ("seeds=[]", r": seeds: must have at least 1 item \(got \[\]\)"),
        ("runtime.name=rey", r"runtime\.name: .*'ray'"),
        ("codec.name=fp61", r"did you mean 'fp16'\?"),
        ("rank8", r"write it as section\.key=value"),
    ],
)
def test_a_mistake_is_one_line_with_its_key_and_remedy(file: Path, override: str, says: str):
    with pytest.raises(FedloraError, match=says) as caught:
        configuration.load(file, [override])
    assert "\n" not in str(caught.value)


def test_a_part_that_is_named_anew_begins_with_its_own_options(file: Path):
    file.write_text(
        MINIMAL.replace("{name: image_domains}", "{name: image_domains, bank: 9, seed: 3}")
        + "generator: {name: cvae, spread: 0.5}\n"
        + "adoption: {policy: {name: best_of, samples: 4}, labels: 16}\n"
    )
    same = configuration.load(file, ["generator.name=cvae", "tasks.bank=7"])
    assert same.generator.options().spread == 0.5
    assert (same.tasks.options().bank, same.tasks.options().seed) == (7, 3)

    other = configuration.load(
        file, ["generator.name=topk", "generator.k=2", "adoption.policy.name=given"]
    )
    assert other.generator.options().k == 2
    assert other.adoption.policy.model_extra == {}
    assert other.adoption.labels == 16
    assert other.tasks.options().bank == 9


def test_a_part_of_an_optional_section_is_named_anew_too(file: Path):
    file.write_text(
        MINIMAL + "continual: {method: {name: inflora, energy: features}, sketch: 8,"
        " generator: {name: topk, k: 2}}\n"
    )
    other = configuration.load(
        file, ["continual.method.name=random_down", "continual.generator.name=mean"]
    )
    assert other.continual.method.model_extra == {}
    assert other.continual.generator.model_extra == {}
    assert other.continual.sketch == 8


def test_options_go_with_the_name_of_a_part_within_a_part_but_not_with_a_models(file: Path):
    file.write_text(
        """
        name: mine
        backbone: {name: minilm, max_length: 32}
        tasks: {name: class_subsets, bank: 3, source: {name: clothing_reviews, label: class}}
        """
    )
    changed = configuration.load(file, ["tasks.source.name=digits", "backbone.name=other"])
    assert changed.tasks.options().source.model_extra == {}
    assert changed.tasks.options().bank == 3
    assert changed.backbone.max_length == 32


def test_options_alone_are_those_of_the_part_that_stands_there_by_default(file: Path):
    changed = configuration.load(file, ["generator.noise=0.7", "codec_up.name=fp16"])
    assert (changed.generator.name, changed.generator.options().noise) == ("kriging", 0.7)


def test_a_complaint_that_comes_later_names_the_file(file: Path):
    with (
        pytest.raises(FedloraError, match=rf"^{file}: lora\.rank=9 does not fit"),
        configuration.naming(file),
    ):
        raise FedloraError("lora.rank=9 does not fit")
    with pytest.raises(FedloraError, match=r"^loraless: "), configuration.naming(file):
        raise FedloraError("loraless: not a key")


def test_a_file_that_is_not_a_configuration_is_named(tmp_path: Path):
    (tmp_path / "words.yaml").write_text("hello world")
    with pytest.raises(FedloraError, match=r"words\.yaml: hello world: unknown key"):
        configuration.load(tmp_path / "words.yaml")
    bad = tmp_path / "bad.yaml"
    for content in ("a: [", "- 1\n- 2", "\x00"):
        bad.write_text(content)
        with pytest.raises(FedloraError, match=str(bad)):
            configuration.load(bad)
    with pytest.raises(FedloraError, match="no such file"):
        configuration.load(tmp_path / "none.yaml")


def test_every_shipped_configuration_is_valid():
    files = sorted(Path("configs").glob("*.yaml"))
    assert files
    for path in files:
        configuration.load(path)


def test_draws_that_cannot_differ_are_refused():
    best = {"adoption": {"policy": {"name": "best_of"}}}
    with pytest.raises(FedloraError, match=r"generator\.spread: best_of needs draws that differ"):
        small_config(**best)
    drawn = small_config(**best, generator={"name": "cvae", "spread": 1.0})
    assert drawn.adoption.title == "best_of_8"


def test_a_mix_of_methods_that_the_run_does_not_learn_is_refused():
    def mixing(*methods: str):
        policy = {"name": "label_mix", "candidates": 0, "methods": methods}
        return small_config(adoption={"policy": policy})

    assert mixing("generated", "topk").adoption.title == "label_mix_generated_topk"
    with pytest.raises(FedloraError, match="'nearest' is nothing that this run learns"):
        mixing("generated", "nearest")
    with pytest.raises(FedloraError, match=r"'grown' needs growth\.rounds of at least 1"):
        mixing("grown")


def test_a_run_folder_s_paths_lead_somewhere_from_anywhere(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    own = """
name: own
backbone: {name: minilm}
tasks:
  name: several
  tasks:
    north: {name: files, path: data/north.csv}
    south: {name: files, path: ~/south.csv}
  held_out: [south]
"""
    Path("own.yaml").write_text(own)
    config = configuration.load(Path("own.yaml"))
    folder = run_folder.create_at(config, tmp_path / "run")
    there = run_folder.resume(folder)
    paths = [str(each.options().path) for each in there.tasks.options().tasks.values()]
    assert paths == [str(tmp_path / "data/north.csv"), str(Path.home() / "south.csv")]
    deployed = configuration.load(Path("own.yaml"), ["runtime.name=deployment"])
    kept = run_folder.resume(run_folder.create_at(deployed, tmp_path / "deployed"))
    assert str(kept.tasks.options().tasks["north"].options().path) == "data/north.csv"


def test_so_is_the_folder_of_a_base_model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("models/mine").mkdir(parents=True)
    here = {"models/mine": str(tmp_path / "models/mine"), "org/hub-id": "org/hub-id"}
    for name, kept in here.items():
        config = configuration.from_dict(
            {"name": "x", "tasks": {"name": "image_domains"}, "backbone": {"name": name}}, "x"
        )
        assert configuration.rooted(config).backbone.name == kept


def test_nothing_but_paths_is_changed_by_that():
    for file in sorted(Path("configs").glob("*.yaml")):
        config = configuration.load(file)
        now, then = (
            configuration.dump(c).splitlines() for c in (configuration.rooted(config), config)
        )
        changed = [(a, b) for a, b in zip(now, then, strict=True) if a != b]
        assert all("path:" in ours and "path:" in theirs for ours, theirs in changed)


LAUGHS = "a0: &a0 [x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
)


@pytest.mark.parametrize("text", [
    LAUGHS, "name: &a [*a]", "name: " + "[" * 3000 + "]" * 3000, "name: !!timestamp 9",
    "name: !!bool perhaps", "name: !!int ''", "name: ${name}", "- a", "? {a: b}\n: c", "\x00",
    '!!python/object/apply:os.system ["touch owned"]', "name: !!binary x", "seeds: [1e999]",
], ids=range(13))  # fmt: skip
def test_yaml_that_would_hurt_is_one_line(tmp_path: Path, text: str, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "evil.yaml"
    path.write_text(text)
    with pytest.raises(FedloraError) as caught:
        configuration.load(path)
    assert "evil.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert [file.name for file in tmp_path.iterdir()] == ["evil.yaml"]


def test_who_has_labels_and_names_no_policy_uses_them() -> None:
    own = AdoptionConfig.model_validate({"labels": 32})
    assert own.policy.build().mix is not None
    assert own.refine == "gated"
    named = AdoptionConfig.model_validate({"labels": 32, "policy": {"name": "given"}})
    assert named.refine == "never"
    assert AdoptionConfig.model_validate({"labels": 32, "refine": "always"}).refine == "always"
    assert AdoptionConfig().policy.build().mix is None
