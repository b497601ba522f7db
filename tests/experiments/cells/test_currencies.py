"""Cells of currencies: a finetuning that changes nothing is the base network at every dose."""

from dataclasses import replace

import numpy as np
import pytest

from experiments.cells.programs import Executor
from experiments.design.options import with_options
from experiments.storage.currencies_cell import CurrenciesCell
from experiments.storage.records import Cell
from experiments.studies import three_currencies as study
from models.finetuning.sgd import Sgd

pytestmark = pytest.mark.slow


def test_no_finetuning_is_the_base_network_at_every_dose(untrained):
    made = study.experiment(with_options(study.PRESETS["smoke"], {"pretraining.steps": 1}))
    made = replace(made, methods={"idle": Sgd(1e-12), "sgd": Sgd(0.1)})
    executor = Executor(made, untrained(made))
    cell = Cell("inside", made.arms[0].name, 0)
    content, problem = executor.run(cell, executor.template)
    assert isinstance(content, CurrenciesCell) and not problem
    idle, moved = content.beliefs
    np.testing.assert_allclose(idle, np.broadcast_to(idle[:, :1], idle.shape), atol=1e-5)
    assert np.abs(moved[:, 1:] - moved[:, :1]).max() > 1e-3
    none = content.nats.tolist().index(0.0)
    at_none = content.beliefs[:, :, :, :, :, none]
    np.testing.assert_allclose(at_none[..., 0, :, :, :], at_none[..., 1, :, :, :], atol=1e-5)
    # where no pair is shown there is none to steer
    unsteered = content.beliefs[:, :, :, 0, 1]
    np.testing.assert_allclose(unsteered, np.broadcast_to(unsteered[:, :, :, :1], unsteered.shape), atol=1e-6)
    # what idles learns nothing, steered or not; what is trained under steering learns something else
    plain = at_none[:, :, :, :, 0]  # (m, s, d, n, q, r, b)
    under = content.under[:, :, :, :, 0]  # by where it is steered
    np.testing.assert_allclose(under[0], np.broadcast_to(plain[0, :, :, None], under[0].shape), atol=1e-5)
    assert (np.abs(under[1, :, 1:] - plain[1, :, 1:, None]).max(axis=(0, 1, 3, 4, 5, 6)) > 1e-4).all()
    assert ((content.beyond >= 0) & (content.beyond <= 1)).all()
    again, _ = executor.run(cell, executor.template)
    for name, array in content.to_arrays().items():
        np.testing.assert_array_equal(array, again.to_arrays()[name])
