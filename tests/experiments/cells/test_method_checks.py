"""Ways of finetuning of own files: what no network could be finetuned by is refused in a sentence."""

from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from experiments.cells.method_checks import check_methods
from models.finetuning.method import Method, Wrapper
from models.finetuning.sgd import Sgd
from theory.errors import Misuse


@dataclass(frozen=True)
class Mine(Wrapper):
    """SGD with members that are given; None: SGD's own."""

    rule: Method = field(default_factory=lambda: Sgd(0.01))
    lost: object = None
    times: object = None
    needed: tuple[str, ...] = ()
    descends: object = None

    @property
    def needs(self):
        return self.needed

    def optimizer(self):
        return self.descends or self.rule.optimizer()

    def loss(self, model, base, batch, extra):
        return self.lost(model) if self.lost else self.rule.loss(model, base, batch, extra)

    def training_time(self, doses):
        return {} if self.times is None else self.times


@pytest.fixture
def check(tiny, untrained):
    """Check a method of one's own."""

    def run(**members):
        experiment = replace(tiny(), methods={"mine": Mine(**members)})
        check_methods(experiment, untrained(experiment))

    return run


def test_a_method_that_keeps_the_contract_passes(check):
    check()


@pytest.mark.parametrize(
    ("members", "sentence"),
    [
        ({"needed": ("moon",)}, "the method mine needs moon; there are replay, teacher, key"),
        ({"times": 3}, "training times of type int; give a dict"),
        ({"times": {"identity": np.ones(99)}}, r"unfit training time \(identity\).* one number a dose"),
        ({"times": {"identity": "long"}}, "unfit training time"),
        ({"descends": 3}, "AttributeError|TypeCheckError"),
        ({"lost": lambda model: None}, "TypeError: Gradient only|TypeCheckError"),
        ({"lost": lambda model: np.ones(3)}, "TypeError: Gradient only|TypeCheckError"),
        ({"lost": lambda model: 1 / 0}, r"line \d+: ZeroDivisionError: division by zero"),
    ],
)
def test_what_cannot_finetune_is_refused(check, tmp_path, members, sentence):
    with pytest.raises(Misuse, match=sentence) as refused:
        check(**members)
    text = str(refused.value)
    assert text.startswith("test_method_checks.py") and "\n" not in text
