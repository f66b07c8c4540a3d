"""Data sets that a user brings in their published formats."""

import pickle

import numpy as np
import pytest

from fedlora.errors import FedloraError
from fedlora.section import parse
from fedlora.tasks.plain_pickle import read_plain
from fedlora.tasks.sources import cifar100, domainnet
from tests.tasks.sources.own_copies import make_cifar, make_domainnet


def cifar(path, **options):
    return cifar100.Cifar100(parse(cifar100.Config, {"path": str(path), **options})).load()


def test_cifar_images_stand_as_they_were_stored(tmp_path):
    make_cifar(tmp_path)
    table = cifar(tmp_path)
    raw = pickle.loads((tmp_path / "cifar-100-python" / "train").read_bytes())
    assert table.label_names == ("apple", "bear", "chair")
    assert table.test.tolist() == [False] * 6 + [True] * 3
    assert np.allclose(table.examples.inputs[1].reshape(-1) * 255, raw[b"data"][1])
    assert len(cifar(tmp_path / "cifar-100-python", per_class=1).examples) == 6


def test_a_pickle_that_would_run_something_is_refused(tmp_path):
    class Harm:
        def __reduce__(self):
            return (exec, ("raise AssertionError",))

    (tmp_path / "meta").write_bytes(pickle.dumps({"fine_label_names": Harm()}))
    with pytest.raises(FedloraError, match=r"it wants builtins\.exec"):
        read_plain(tmp_path / "meta")


def test_what_is_not_cifar_says_so(tmp_path):
    with pytest.raises(FedloraError, match="no such folder"):
        cifar(tmp_path / "missing")
    make_cifar(tmp_path)
    (tmp_path / "cifar-100-python" / "train").write_bytes(b"damaged")
    with pytest.raises(FedloraError, match="not a plain data file"):
        cifar(tmp_path)


def test_domainnet_follows_its_lists(tmp_path):
    make_domainnet(tmp_path)
    options = {"path": str(tmp_path), "domains": ["clipart", "sketch"], "size": 8}
    table = domainnet.DomainNet(parse(domainnet.Config, options)).load()
    assert table.examples.inputs.shape == (12, 3, 8, 8)
    assert table.label_names == ("ant", "bus")
    assert table.test.sum() == 4
    assert set(table.groups["domain"]) == {"clipart", "sketch"}


def test_a_list_that_points_outside_is_refused(tmp_path):
    make_domainnet(tmp_path)
    (tmp_path / "clipart_train.txt").write_text("../../etc/x.png 0\n")
    options = {"path": str(tmp_path), "domains": ["clipart"]}
    with pytest.raises(FedloraError, match="is not DOMAIN/CLASS/FILE"):
        domainnet.DomainNet(parse(domainnet.Config, options)).load()
