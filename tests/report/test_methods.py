"""What the table knows, the page knows how to call."""

from fedlora.evaluation.table import LOCAL_METHODS, METHODS
from fedlora.report.methods import Needs, method, order


def test_every_method_of_the_table_has_a_name_of_its_own_on_the_page():
    found = [method(name) for name in METHODS]

    assert len({line.label for line in found}) == len(METHODS)
    assert [line.name for line in found if line.about == "a further generator"] == []
    assert set(LOCAL_METHODS) <= set(METHODS)
    assert sorted(METHODS, key=order) == list(METHODS)


def test_one_that_it_does_not_know_stands_before_the_generated_adapter():
    assert order("warm") < order("kernel_of_mine") < order("shuffled")
    assert method("kernel_of_mine").needs == Needs.NOTHING
