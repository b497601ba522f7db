"""The predicted noise of an order beside that of real networks, finetuned in many orders of one D'."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.api import pretrain
from models.finetuning.adam import Adam
from models.finetuning.method import finetune
from models.finetuning.sgd import Sgd
from theory.compute.descent import epochs
from theory.divergence.kl import answers_at
from theory.processes.persona_topics import PersonaTopics
from theory.weights.diagonal_metrics import adam
from theory.weights.order_noise import Recipe, order_noise

DOCUMENTS, BATCH, ORDERS = 32, 4, 32  # eight steps a pass
DOSES = (1, 2, 4, 8, 12, 16, 28, 32, 60, 64)
ENDS = np.isin(DOSES, [8, 16, 32, 64])


@pytest.mark.slow
def test_predicted_and_measured_noise_of_sgd_and_adam():
    """Run with -s for the table of docs/theory.md, section 9: means over held-out contexts, in nats."""
    process = PersonaTopics()
    network = pretrain(process, width=24, layers=1, steps=600, progress=False).network()
    task = process.task()
    data = task.data(jax.random.key(1), DOCUMENTS)
    contexts = task.contexts(jax.random.key(2))["held_out"]
    tokens, mask = jnp.asarray(contexts.tokens)[:40], np.asarray(contexts.mask)[:40]
    orders = jnp.stack([epochs(jax.random.key(10 + i), DOCUMENTS, BATCH, DOSES[-1]) for i in range(ORDERS)])

    def measured(method):
        def answers(order):
            weights, _ = finetune(network, data, order, method, DOSES)
            read = lambda params: answers_at(network.with_params(params), tokens, process.answer_tokens)  # noqa: E731
            return jax.lax.map(read, weights)

        log_probs = np.asarray(jax.jit(lambda orders: jax.lax.map(answers, orders))(orders), float)
        p = np.exp(log_probs)
        own, total, logs = np.sum(p * log_probs, axis=-1), p.sum(axis=0), log_probs.sum(axis=0)
        pairs = own.sum(axis=0) * ORDERS - np.sum(total * logs, axis=-1)  # an order with itself adds 0
        return (pairs / ORDERS / (ORDERS - 1))[:, mask].mean(axis=-1)

    def predicted(recipe, metric=None):
        def noise():
            return order_noise(network, data, tokens, process.answer_tokens, recipe, metric=metric)

        return np.asarray(jax.jit(noise)())[:, mask].mean(axis=-1)

    sgd, norms = Sgd(), Adam()
    metric = adam(
        network, data, orders[0][:16], floor=0.01
    )  # of the mean: noise over noise where gradients are 0
    truth = {"SGD": measured(sgd), "Adam": measured(norms)}
    noise = {
        "SGD": predicted(Recipe(DOSES, BATCH, sgd.learning_rate)),
        "SGD, fresh": predicted(Recipe(DOSES, BATCH, sgd.learning_rate, fresh=True)),
        "Adam": predicted(Recipe(DOSES, BATCH, norms.learning_rate, 0.9, True), metric),
    }
    print("\ndose", *DOSES)
    for name, values in noise.items():
        ratio = values / truth[name.split(",")[0]]
        print(name, "measured", *(f"{value:.1e}" for value in truth[name.split(",")[0]]))
        print(name, "predicted / measured", *(f"{value:.2f}" for value in ratio))
    plain, fresh, normalised = (noise[name] / truth[name.split(",")[0]] for name in noise)
    assert (np.abs(np.log(plain[~ENDS])) < np.log(1.6)).all()
    assert (np.abs(np.log(plain[ENDS])) < np.log(2.5)).all() and (fresh[ENDS] > 10).all()
    assert (np.abs(np.log(normalised)) < np.log(5)).all()
