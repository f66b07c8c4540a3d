"""A wrapped CLIP: what trains, what it says, and what it says without the adapter."""

import copy
import json
import pickle
import shutil

import numpy as np
import pytest
import torch
from torch import nn
from transformers import CLIPConfig, CLIPModel
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from fedlora.backbone.clip import ClipTowers, image_input
from fedlora.backbone.weights import ASSETS
from fedlora.errors import FedloraError
from fedlora.lora import CLIPLoRAWrapper, FederatedCLIPModel, LoRAConfig, quick_clip_lora
from fedlora.tasks.sources.fashion_mnist import LABEL_NAMES, Config, FashionMnist
from tests.lora.small import CLASSES, NAMES, Plain, batch, clip, stir, wrapped

EVERY_PART = [
    ("encoder",), ("text_encoder",), ("classifier",), ("projection",),
    ("encoder", "classifier"), ("encoder", "text_encoder", "projection"),
]  # fmt: skip


def in_evaluation(model: nn.Module, pixels: torch.Tensor) -> torch.Tensor:
    model.eval()
    with torch.no_grad():
        return model(pixels)


@pytest.fixture(scope="module")
def vit_b_32() -> FederatedCLIPModel:
    """The architecture of openai/clip-vit-base-patch32, whose values no count depends on."""
    config = CLIPConfig()
    config.text_config.eos_token_id = 49407
    with torch.device("meta"):
        towers = ClipTowers(CLIPModel(config), None, image_input(config), "ViT-B/32")
        return FederatedCLIPModel(towers, 10)


@pytest.mark.parametrize(("rank", "all_five", "attention"), [
    (8, 1_179_648, 589_824), (16, 2_359_296, 1_179_648), (32, 4_718_592, 2_359_296),
])  # fmt: skip
def test_vit_b_32_trains_as_many_values_as_promised(vit_b_32, rank, all_five, attention):
    assert sum(p.numel() for p in vit_b_32.clip.parameters()) == 151_277_313
    config = LoRAConfig.for_clip_model(rank)
    targets = ("q_proj", "k_proj", "v_proj", "out_proj")
    for lora, expected in (
        (config, all_five),
        (LoRAConfig(r=rank, target_modules=targets), attention),
    ):
        with torch.device("meta"):
            wrapper = CLIPLoRAWrapper(vit_b_32, lora).apply_lora_to_federated_model()
            head = vit_b_32.classifier.weight.numel() + vit_b_32.classifier.bias.numel()
            counts = wrapper.parameter_counts()
            print(f"ViT-B/32, r {rank}, {len(wrapper.injection.layers)} layers: {counts}")
            wrapper.injection._tuner.unload()
        assert counts["trainable"] - head == expected


@pytest.mark.parametrize("parts", EVERY_PART)
def test_disabled_it_says_what_the_plain_model_says_bit_for_bit(parts):
    pixels, _ = batch()
    plain, wrapper = in_evaluation(clip(), pixels), wrapped(parts)
    adapted = in_evaluation(wrapper, pixels)

    wrapper.disable_lora_layers()
    disabled = in_evaluation(wrapper, pixels)
    wrapper.enable_lora_layers()

    assert torch.equal(disabled, plain)
    assert (adapted - plain).abs().max() > 1e-3
    assert torch.equal(in_evaluation(wrapper, pixels), adapted)


@pytest.mark.parametrize("bias", ["none", "lora_only", "all"])
@pytest.mark.parametrize("head", ["of names", "trained from names", "without names"])
def test_disabled_it_says_the_same_whatever_else_was_trained(bias, head):
    pixels, labels = batch()
    trainable = True if head == "trained from names" else None
    model = clip(names=None if head == "without names" else NAMES, trainable_head=trainable)
    plain = in_evaluation(copy.deepcopy(model), pixels)
    parts = ("encoder", "text_encoder") if head == "of names" else ("encoder",)
    wrapper = wrapped(parts, model, bias=bias)
    wrapper.train_step(pixels, labels)
    adapted = in_evaluation(wrapper, pixels)

    wrapper.disable_lora_layers()
    disabled = in_evaluation(wrapper, pixels)
    with pytest.raises(FedloraError, match="nothing trains: call enable_lora_layers"):
        wrapper.train_step(pixels, labels)
    wrapper.enable_lora_layers()

    assert torch.equal(disabled, plain)
    assert torch.equal(in_evaluation(wrapper, pixels), adapted)
    assert not torch.equal(adapted, plain)


@pytest.mark.parametrize("parts", EVERY_PART)
def test_merged_it_says_the_same_without_any_layer_of_peft(parts):
    pixels, _ = batch()
    wrapper = wrapped(parts)
    adapted = in_evaluation(wrapper, pixels)

    merged = wrapper.merge_and_unload()

    assert (in_evaluation(merged, pixels) - adapted).abs().max() <= 1e-5 * adapted.abs().max()
    assert merged.state_dict().keys() == clip().state_dict().keys()
    plain = {name: p.requires_grad for name, p in clip().named_parameters()}
    assert {name: p.requires_grad for name, p in merged.named_parameters()} == plain


@pytest.mark.parametrize("parts", [("encoder",), ("encoder", "text_encoder")])
def test_checkpointing_changes_no_gradient(parts):
    pixels, labels = batch()
    gradients, calls = [], []
    for checkpointing in (False, True, False):
        wrapper = wrapped(parts, lora_dropout=0.3)
        blocks = wrapper.clip.vision_model.encoder.layers
        if checkpointing or calls:
            wrapper.enable_gradient_checkpointing()
        if calls and not checkpointing:
            wrapper.disable_gradient_checkpointing()
        seen = []
        hook = blocks[0].mlp.register_forward_pre_hook(lambda *_, seen=seen: seen.append(1))
        wrapper.train()
        torch.manual_seed(0)
        nn.functional.cross_entropy(wrapper(pixels), labels).backward()
        hook.remove()
        calls.append(len(seen))
        gradients.append([p.grad for p in wrapper.parameters() if p.requires_grad])

    assert calls == [1, 2, 1]
    for other in gradients[1:]:
        assert all(torch.equal(a, b) for a, b in zip(gradients[0], other, strict=True))
    assert all(gradient is not None for gradient in gradients[0])


def test_checkpointing_keeps_less_for_the_backward_pass():
    def kept(wrapper) -> int:
        sizes = []

        def pack(tensor):
            sizes.append(tensor.numel() * tensor.element_size())
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
            nn.functional.cross_entropy(wrapper.train()(pixels), labels)
        return sum(sizes)

    wrapper, (pixels, labels) = wrapped(), batch()
    without = kept(wrapper)
    wrapper.enable_gradient_checkpointing()

    assert kept(wrapper) < without / 2


@pytest.mark.parametrize("parts", EVERY_PART)
@pytest.mark.parametrize("only", [True, False])
def test_what_one_client_sends_makes_another_say_the_same(parts, only):
    pixels, labels = batch()
    one, two = wrapped(parts, save_only_trainable=only), wrapped(parts, save_only_trainable=only)
    for _ in range(3):
        one.train_step(pixels, labels)
    expected = in_evaluation(one, pixels)
    assert not torch.equal(in_evaluation(two, pixels), expected)

    two.set_parameters(one.get_parameters())

    assert torch.equal(in_evaluation(two, pixels), expected)


def test_a_step_lowers_the_loss_and_touches_the_adapter_alone():
    pixels, labels = batch(12)
    wrapper = wrapped(("encoder", "projection"))
    wrapper.learning_rate = 1e-2
    frozen = {n: p.clone() for n, p in wrapper.named_parameters() if not p.requires_grad}

    losses = [wrapper.train_step(pixels, labels) for _ in range(15)]

    assert losses[-1] < losses[0] / 2
    assert set(wrapper.evaluate(pixels, labels)) == {"loss", "accuracy"}
    assert all("lora_" in n for n, p in wrapper.named_parameters() if p.requires_grad)
    assert all(torch.equal(dict(wrapper.named_parameters())[n], v) for n, v in frozen.items())


def test_a_head_without_names_starts_at_zero_and_trains_beside_the_adapter():
    pixels, labels = batch()
    wrapper = wrapped(model=clip(names=None))
    names = wrapper.injection.trained
    assert names[-2:] == ("classifier.weight", "classifier.bias")

    fresh = CLIPLoRAWrapper(clip(names=None), LoRAConfig(r=2)).apply_lora_to_federated_model()
    assert torch.equal(in_evaluation(fresh, pixels), torch.zeros(6, CLASSES))
    fresh.train_step(pixels, labels)
    assert fresh.federated_model.classifier.weight.abs().max() > 0


def test_a_zero_shot_head_is_the_cosine_to_the_names():
    model, (pixels, _) = clip(), batch()
    with torch.no_grad():
        shown = model.clip.get_image_features(pixels).pooler_output
        tokens = {n: getattr(model, f"prompt_{n}") for n in ("input_ids", "attention_mask")}
        told = model.clip.get_text_features(**tokens).pooler_output
        cosines = nn.functional.cosine_similarity(shown[:, None], told[None], dim=-1)

    expected = model.clip.logit_scale.exp() * cosines
    assert torch.allclose(in_evaluation(model, pixels), expected, atol=1e-5)


def test_the_tiny_clip_knows_clothes_by_their_names():
    table = FashionMnist(Config()).load()
    images = torch.from_numpy(table.examples.inputs[table.test][::10])
    labels = table.examples.labels[table.test][::10]
    model = FederatedCLIPModel("tiny_clip", 10, LABEL_NAMES)

    assert model.evaluate(model.prepare(images), labels)["accuracy"] > 0.85
    renamed = FederatedCLIPModel("tiny_clip", 10, LABEL_NAMES[::-1])
    assert renamed.evaluate(renamed.prepare(images), labels)["accuracy"] < 0.1


def test_the_quick_start_trains():
    wrapper = quick_clip_lora("tiny_clip", num_classes=3, lora_r=4)
    pixels, labels = wrapper.prepare(torch.rand(6, 1, 28, 28)), torch.arange(6) % 3

    losses = [wrapper.train_step(pixels, labels) for _ in range(8)]

    assert losses[-1] < losses[0]
    assert wrapper.lora_config.lora_alpha == 8


@pytest.mark.parametrize(("parts", "config", "message"), [
    (["vision"], {}, r"no component is called 'vision'"),
    (["encoders"], {}, r"did you mean 'encoder'"),
    ([], {}, "give a list"),
    ("encoder", {}, "give a list"),
    (["encoder"], {"target_modules": ["q_prj"]}, r"'q_prj'; did you mean 'q_proj'"),
    (["encoder"], {"target_modules": ["classifier"]}, r"is of 'classifier'; write \[classifier\]"),
    (["encoder"], {"target_modules": ["visual_projection"]}, r"write \[projection\]"),
    (["encoder", "classifier"], {"target_modules": ["classifier"]}, "'encoder' has none of"),
    (["text_encoder", "classifier"], {}, "leave 'classifier' out"),
])  # fmt: skip
def test_parts_and_targets_that_are_not_there_leave_the_model_as_it_was(parts, config, message):
    model = clip()
    before = {name: p.requires_grad for name, p in model.named_parameters()}

    with pytest.raises(FedloraError, match=message):
        CLIPLoRAWrapper(model, LoRAConfig(**config), parts).apply_lora_to_federated_model()

    assert {name: p.requires_grad for name, p in model.named_parameters()} == before


def test_a_head_alone_has_its_preset():
    wrapper = CLIPLoRAWrapper(clip(), LoRAConfig.for_classification_head(r=2), ["classifier"])
    wrapper.apply_lora_to_federated_model()
    assert wrapper.injection.layers == ("classifier",)
    assert wrapper.parameter_counts()["trainable"] == 2 * (8 + CLASSES)


def test_a_model_that_does_not_fit_is_named(tmp_path):
    with pytest.raises(FedloraError, match="Plain is no FederatedCLIPModel"):
        CLIPLoRAWrapper(Plain())
    with pytest.raises(FedloraError, match="model_name: give the name of a CLIP or its folder"):
        FederatedCLIPModel(None, 3)
    for parts in ([3], 5, None):
        with pytest.raises(FedloraError, match="target_components: "):
            CLIPLoRAWrapper(clip(), LoRAConfig(), parts)
    for settings in ({"r": 4}, 4):
        with pytest.raises(FedloraError, match="lora_config: give a LoRAConfig, such as"):
            CLIPLoRAWrapper(clip(), settings)
    for rank in (None, "many"):
        with pytest.raises(FedloraError, match="r: must be a valid integer"):
            LoRAConfig.for_clip_model(rank)
    with pytest.raises(FedloraError, match=r"\(a model of type 'vit', no CLIP\); without"):
        FederatedCLIPModel("tiny_vit", 2)
    with pytest.raises(FedloraError, match="model_name: 'nobody/nothing' cannot be loaded"):
        FederatedCLIPModel("nobody/nothing", 2)
    with pytest.raises(FedloraError, match=r"model_name: .* has no config\.json"):
        FederatedCLIPModel(str(tmp_path), 2)


def test_a_folder_that_transformers_wrote_is_a_model(tmp_path):
    source = FederatedCLIPModel("tiny_clip", 10, LABEL_NAMES)
    source.clip.save_pretrained(tmp_path / "mine")
    pixels = source.prepare(torch.rand(4, 1, 28, 28))

    with pytest.raises(FedloraError, match="has no tokenizer, so class names cannot be read"):
        FederatedCLIPModel(str(tmp_path / "mine"), 10, LABEL_NAMES)
    for file in ("tokenizer.json", "tokenizer_config.json", "preprocessor_config.json"):
        shutil.copy(ASSETS / "tiny_clip" / file, tmp_path / "mine")
    loaded = FederatedCLIPModel(str(tmp_path / "mine"), 10, LABEL_NAMES)

    assert loaded.images == source.images
    assert torch.equal(in_evaluation(loaded, pixels), in_evaluation(source, pixels))


def test_a_hub_id_is_a_model_once_it_is_in_the_cache(tmp_path, monkeypatch):
    there = tmp_path / "models--some--clip"
    shutil.copytree(ASSETS / "tiny_clip", there / "snapshots" / "0")
    (there / "refs").mkdir()
    (there / "refs" / "main").write_text("0")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("transformers.utils.hub.constants.HF_HUB_CACHE", str(tmp_path))

    cached = FederatedCLIPModel("some/clip", 10, LABEL_NAMES)

    own = FederatedCLIPModel("tiny_clip", 10, LABEL_NAMES)
    pixels = own.prepare(torch.rand(2, 1, 28, 28))
    assert cached.images == own.images
    assert torch.equal(in_evaluation(cached, pixels), in_evaluation(own, pixels))


@pytest.mark.parametrize("size", [(50, 90), (90, 50), (33, 47), (40, 40), (8, 20)])
def test_images_are_prepared_as_by_the_processor_that_is_saved_beside_the_model(tmp_path, size):
    processor = CLIPImageProcessorPil(
        size={"shortest_edge": 40},
        crop_size={"height": 40, "width": 40},
        image_mean=[0.4, 0.5, 0.6],
        image_std=[0.2, 0.3, 0.4],
    )
    processor.save_pretrained(tmp_path)
    config = CLIPConfig(vision_config={"image_size": 40})
    config.save_pretrained(tmp_path)
    draw = torch.Generator().manual_seed(0)
    images = torch.randint(60, 196, (2, 3, *size), generator=draw, dtype=torch.uint8)

    theirs = processor(list(images), return_tensors="pt")["pixel_values"]
    ours = image_input(config, str(tmp_path)).prepare(images.float() / 255)

    level = 1 / 255 / 0.2  # theirs are rounded to 8 bits after each direction
    assert (ours - theirs).abs().max() <= 1.5 * level


def test_image_settings_are_also_read_from_where_processors_of_both_kinds_are(tmp_path):
    settings = {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.4, 0.5, 0.6]}
    (tmp_path / "processor_config.json").write_text(json.dumps({"image_processor": settings}))
    CLIPConfig().save_pretrained(tmp_path)

    found = image_input(CLIPConfig(), str(tmp_path))

    assert (found.mean, found.std) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))


def test_classes_that_disagree_are_named_before_anything_trains():
    model, (pixels, labels) = clip(), batch()
    with pytest.raises(FedloraError, match="num_classes=5, but class_names has 4"):
        FederatedCLIPModel("tiny_clip", 5, NAMES)
    assert type(FederatedCLIPModel("tiny_clip", np.int64(5)).num_classes) is int
    for classes in (1, "5", True, None):
        with pytest.raises(FedloraError, match="a whole number of at least two"):
            FederatedCLIPModel("tiny_clip", classes)
    for names in ("abcd", ["a", "b", "c", ""], ["a", "b", "c", "c"], ["a", "b", "c", None], 4):
        with pytest.raises(FedloraError, match="class_names: give a list of names"):
            FederatedCLIPModel("tiny_clip", 4, names)
    for templates in ([], "a photo of a {}.", None):
        with pytest.raises(FedloraError, match="templates: give a list of prompts"):
            clip(templates=templates)
    for images in (torch.zeros(1, 3, 8, 8, dtype=torch.uint8), [[0.5]]):
        with pytest.raises(FedloraError, match="images: give a tensor of floats"):
            model.prepare(images)
    with pytest.raises(FedloraError, match=r"images: give values in \[0, 1\]"):
        model.prepare(torch.full((1, 3, 8, 8), 255.0))
    with pytest.raises(FedloraError, match="there is no pixel in them"):
        model.prepare(torch.zeros(1, 3, 8, 0))
    for head in ("no", 0, 2.5):
        with pytest.raises(FedloraError, match=r"trainable_head=.*: write True, False or None"):
            clip(trainable_head=head)
    for template in ("a photo", 3):
        with pytest.raises(FedloraError, match=r"templates: put \{\} where the class name"):
            clip(templates=[template])
    for rate in (0, "fast"):
        with pytest.raises(FedloraError, match=r"learning_rate=.*: give a number above 0"):
            clip(learning_rate=rate)
    assert model.evaluate(pixels, labels.to(torch.uint16)) == model.evaluate(pixels, labels)
    before = model.get_parameters()
    for step in (model.train_step, model.evaluate):
        with pytest.raises(FedloraError, match="label 4 in the data, but num_classes=4"):
            step(pixels, labels + 1)
        with pytest.raises(FedloraError, match="6 images and 5 labels"):
            step(pixels, labels[:-1])
        with pytest.raises(FedloraError, match=r"\(6, 1, 8, 8\): this model takes \(n, 3, 8, 8\)"):
            step(pixels[:, :1], labels)
        with pytest.raises(FedloraError, match="give \\(n,\\) integers"):
            step(pixels, labels.float())
        for images, truth in (
            (None, labels), ("abc", labels), (pixels.to_sparse(), labels),
            (pixels.to("meta"), labels), (pixels + 0j, labels),
            (pixels, None), (pixels, NAMES), (pixels, labels.to_sparse()),
        ):  # fmt: skip
            with pytest.raises(FedloraError, match="give numbers, in a tensor or an array"):
                step(images, truth)
        with pytest.raises(FedloraError, match=r"images of torch\.uint8: give floats"):
            step(torch.zeros_like(pixels, dtype=torch.uint8), labels)
        with pytest.raises(FedloraError, match="images hold NaN or infinity"):
            step(pixels * float("nan"), labels)
    assert all((a == b).all() for a, b in zip(before, model.get_parameters(), strict=True))


def test_a_plain_model_refuses_parameters_of_another():
    model = clip()
    before = model.get_parameters()
    with pytest.raises(FedloraError, match="parameters given"):
        model.set_parameters(model.get_parameters()[:-1])
    with pytest.raises(FedloraError, match="give a list of arrays, not NoneType"):
        model.set_parameters(None)
    with pytest.raises(FedloraError, match="vision_model"):
        model.set_parameters(clip(width=8).get_parameters())
    assert all((a == b).all() for a, b in zip(before, model.get_parameters(), strict=True))


def test_a_frozen_head_follows_weights_that_arrive():
    pixels, _ = batch()
    one, two = clip(seed=0), clip(seed=1)
    two.set_parameters(one.get_parameters())
    three = clip(seed=2)
    three.load_state_dict(one.state_dict())

    assert torch.equal(in_evaluation(two, pixels), in_evaluation(one, pixels))
    assert torch.equal(in_evaluation(three, pixels), in_evaluation(one, pixels))


def test_stirring_is_not_nothing():
    wrapper = CLIPLoRAWrapper(clip(), LoRAConfig(r=2)).apply_lora_to_federated_model()
    pixels, _ = batch()
    assert torch.equal(in_evaluation(wrapper, pixels), in_evaluation(clip(), pixels))
    stir(wrapper)
    assert not torch.equal(in_evaluation(wrapper, pixels), in_evaluation(clip(), pixels))


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_a_copy_is_a_whole_model_of_its_own(copied):
    wrapper, (pixels, labels) = wrapped(), batch()
    wrapper.train_step(pixels, labels)
    before = in_evaluation(wrapper, pixels)
    other = copied(wrapper)
    assert torch.equal(in_evaluation(other, pixels), before)

    other.train_step(pixels, labels)

    assert not torch.equal(in_evaluation(other, pixels), before)
    assert torch.equal(in_evaluation(wrapper, pixels), before)
    other.disable_lora_layers()
    assert torch.equal(in_evaluation(other, pixels), in_evaluation(clip(), pixels))


def test_a_model_moved_to_another_type_between_steps_trains_on():
    wrapper, (pixels, labels) = wrapped(), batch()
    wrapper.train_step(pixels, labels)

    losses = [wrapper.to(torch.float64).train_step(pixels, labels) for _ in range(3)]

    assert losses[-1] < losses[0]


def test_a_learning_rate_changed_between_steps_counts_from_the_next_step_on():
    model, (pixels, labels) = clip(), batch()
    model.train_step(pixels, labels)
    before = model.get_parameters()
    model.learning_rate = 0.0
    model.train_step(pixels, labels)

    after = model.get_parameters()
    assert all((a == b).all() for a, b in zip(before, after, strict=True))


@pytest.mark.parametrize(("part", "layer"), [
    ("classifier", "classifier"), ("projection", "clip.visual_projection")
])  # fmt: skip
def test_the_preset_for_towers_goes_with_a_component_that_is_one_layer(part, layer):
    assert CLIPLoRAWrapper(clip(), LoRAConfig.for_clip_model(), [part]).target_layers() == [layer]


def test_a_preset_for_the_head_says_which_component_it_is_of():
    preset = LoRAConfig.for_classification_head()
    with pytest.raises(
        FedloraError, match=r"'classifier' is of 'classifier'; write \[classifier\]"
    ):
        CLIPLoRAWrapper(clip(), preset).target_layers()
    config = LoRAConfig(target_modules=["q_proj", "classifier"])
    with pytest.raises(FedloraError, match=r"; write \[encoder, classifier\]"):
        CLIPLoRAWrapper(clip(), config).target_layers()
