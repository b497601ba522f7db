"""A table made from a run of ours has the run's own numbers."""

import json

import jax
import numpy as np
import pytest

import finebayes as fb
from experiments.tables.adapters import write_table


def answers(log_probs, contexts, **columns):
    """Rows of answers (c, a)."""
    for index, row in enumerate(log_probs):
        for answer, value in zip(contexts.answers, row, strict=True):
            yield columns | {
                "group": str(contexts.group[index]),
                "context": f"context {index}",
                "answer": str(answer),
                "logprob": min(float(value), 0.0),
            }


def rows_of(tuned, scores, process):
    """Every row of a table: contexts, hypotheses, D', elicitation and networks of one base network."""
    run, experiment, executor = scores.source, tuned.experiment, tuned.executor
    (arm,) = experiment.arms
    contexts = run.read(run.cells("theories")[0]).contexts
    networks = run.read(run.cells("finetuned")[0])
    names = [f"persona {index}" for index in range(len(contexts.components))]
    yield from answers(contexts.base, contexts, kind="base")
    for name, components, evidence in zip(names, contexts.components, contexts.evidence, strict=True):
        yield from answers(components, contexts, kind="hypothesis", model=name)
        for index, value in enumerate(evidence):
            yield {"kind": "context", "model": name, "context": f"context {index}", "logprob": float(value)}
    data = executor.data.finetuning(arm, tuned.base.network()).data
    for seed in range(experiment.seeds):
        documents = jax.tree.map(lambda leaf, seed=seed: leaf[seed], data)
        for name, values in zip(names, np.asarray(process.log_likelihoods(documents)), strict=True):
            for number, value in enumerate(values):
                yield {"kind": "document", "model": name, "data": arm.name, "seed": seed,
                       "context": f"document {number}", "logprob": float(value)}  # fmt: skip
        for kind in ("finetuned", "replica"):
            for index, dose in enumerate(experiment.doses):
                of = {"kind": kind, "method": "sgd", "data": arm.name, "seed": seed, "dose": dose}
                yield from answers(getattr(networks, kind)[seed, index], contexts, **of)


@pytest.mark.slow
def test_the_scorecard_is_that_of_the_run(tmp_path, tables):
    """Of every theory that both have, from the process's prior; strengths are fitted on all in-domain
    answers in both. A table renormalises answers before it mixes them, and a network that has learnt little
    gives other tokens, too: linear-mixture is left out."""
    process = fb.processes.PersonaTopics(personas=3, topics=4, pairs=3)
    base = fb.pretrain(process, width=16, steps=30, batch=16, progress=False)
    tuned = fb.finetune(
        base, process.task(persona=1, topics=[0]), {"sgd": fb.methods.Sgd(0.05)},
        n=8, batch=4, doses=(1, 8), seeds=2, progress=False,
    )  # fmt: skip
    object.__setattr__(tuned.experiment, "fit_on", "all")
    ours = ["tempered-posterior", "exchangeable-mixture", "geometric-path"]
    own = fb.compare(tuned, ours, progress=False)
    mixture = process.distribution()
    path = write_table(tmp_path / "table.csv", rows_of(tuned, own, mixture))
    prior = np.exp(np.asarray(jax.nn.log_softmax(mixture.log_weights), float))
    sidecar = {
        "unit": "nats", "precision": "float32", "template": "", "doses": [1, 8],
        "finetuning": {"sgd": {"batch": 4, "documents": 8}},
        "prior": {f"persona {index}": weight for index, weight in enumerate(prior.tolist())},
    }  # fmt: skip
    (tmp_path / "table.json").write_text(json.dumps(sidecar))
    imported = fb.load_table(path)
    labels = {"given": "process"}
    found = {
        (line.theory, labels.get(line.prior, line.prior), line.grade, line.group, line.dose): line
        for line in imported.lines
    }
    compared = 0
    for line in own.lines:
        key = line.theory, line.prior, line.grade, line.group, line.dose
        if line.prior == "implied" or line.theory in ("position-bias", "tempered-posterior-by-rate"):
            continue  # a table has no contexts of elicitation here, no positions and no gradients
        other, compared = found[key], compared + 1  # forecasts and laws, too
        assert other.nats == pytest.approx(line.nats, rel=2e-3, abs=2e-7), key
        assert other.shift == pytest.approx(line.shift, rel=1e-3, abs=2e-7)
        assert other.noise_ceiling == pytest.approx(line.noise_ceiling, abs=1e-3)
        if line.explained is not None:
            assert other.explained == pytest.approx(line.explained, abs=3e-3), key
    assert compared > 30
