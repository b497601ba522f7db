"""Nothing changes."""

import numpy as np
import pytest

from theory.base import Dataset, log_likelihood
from theory.divergence.kl import explained, kl
from theory.theories.unchanged import Unchanged


@pytest.mark.parametrize("beta", [0.0, 0.5, 1e6])
@pytest.mark.parametrize("which", ["bigram", "process"])
def test_the_answer_is_the_prior_itself(request, data, which, beta):
    prior = request.getfixturevalue(which)
    assert Unchanged().predict(prior, data, beta) is prior


def test_it_explains_nothing_by_definition(process, data, documents):
    after = process.condition(data, 1.0).predict(documents)[:, 1::2, 3:]
    before = Unchanged().predict(process, data, 1.0).predict(documents)[:, 1::2, 3:]
    assert float(kl(after, before).mean()) > 0.01
    assert float(explained(after, before, process.predict(documents)[:, 1::2, 3:])) == 0


def test_the_data_are_not_looked_at(process, data):
    other = Dataset(data.tokens[::-1][:3], data.mask[:3])
    np.testing.assert_array_equal(
        log_likelihood(Unchanged().predict(process, data, 1.0), data),
        log_likelihood(Unchanged().predict(process, other, 1.0), data),
    )
