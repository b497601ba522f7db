"""A table whose posterior is known in closed form: its base model is a mixture of three hypotheses."""

import csv
import json
from types import SimpleNamespace

import numpy as np
import pytest

ANSWERS = ("yes", "no", "maybe", "other")
HYPOTHESES = ("kind", "rude", "vain")
DOSES = (2, 8)
DOCUMENTS, BATCH = 4, 2
PRIOR = np.array([0.6, 0.3, 0.1])


def log_softmax(logits, axis=-1):
    logits = logits - logits.max(axis=axis, keepdims=True)
    return logits - np.log(np.exp(logits).sum(axis=axis, keepdims=True))


class World:
    """Hypotheses with random answers; finetuning conditions their mixture on D', `strength` times a pass."""

    def __init__(self, strength=1.0, contexts=(3, 3), outside=0.02, seed=0, evidence=True):
        random = np.random.default_rng(seed)
        self.groups = ["in_domain"] * contexts[0] + ["held_out"] * contexts[1]
        count = len(self.groups)
        self.components = log_softmax(random.normal(size=(3, count, 4)))
        self.evidence = random.normal(-20, 1.0, size=(3, count)) * evidence
        self.documents = random.normal(-30, 0.4, size=(2, 3, DOCUMENTS))  # of two finetuning seeds
        self.documents[:, 1] += 0.5
        self.strength, self.outside = strength, outside

    def mixture(self, log_weights):
        """Answers (c, a) of a mixture whose contexts are evidence."""
        beliefs = log_softmax(log_weights[:, None] + self.evidence, axis=0)
        return np.log(np.einsum("kc,kca->ca", np.exp(beliefs), np.exp(self.components)))

    def after(self, seed, beta):
        """Answers of the mixture conditioned on D' of a seed, β times."""
        return self.mixture(np.log(PRIOR) + beta * self.documents[seed].sum(axis=-1))

    @property
    def base(self):
        return self.mixture(np.log(PRIOR))

    def beta(self, dose):
        return self.strength * dose * BATCH / DOCUMENTS

    def answers(self, log_probs, **columns):
        """Rows of answers (c, a), with some probability outside."""
        for context, (group, row) in enumerate(zip(self.groups, log_probs, strict=True)):
            for answer, value in zip(ANSWERS, row, strict=True):
                yield columns | {
                    "group": group,
                    "context": f"question {context}",
                    "answer": answer,
                    "logprob": float(value + np.log1p(-self.outside)),
                }

    def expectations(self):
        yield from self.answers(self.base, kind="base")
        for name, answers, evidence in zip(HYPOTHESES, self.components, self.evidence, strict=True):
            yield from self.answers(answers, kind="hypothesis", model=name)
            for context, value in enumerate(evidence):
                if value:
                    yield {
                        "kind": "context", "model": name, "context": f"question {context}", "logprob": value
                    }  # fmt: skip
        for seed, hypotheses in enumerate(self.documents):
            for name, values in zip(HYPOTHESES, hypotheses, strict=True):
                for number, value in enumerate(values):
                    yield {
                        "kind": "document", "model": name, "data": "letters", "seed": seed,
                        "context": f"letter {number}", "logprob": float(value),
                    }  # fmt: skip

    def networks(self, kind="finetuned", method="sgd", noise=0.0):
        random = np.random.default_rng(1 + (kind == "replica"))
        for seed in range(2):
            for dose in DOSES:
                answers = self.after(seed, self.beta(dose))
                answers = log_softmax(answers + noise * random.normal(size=answers.shape))
                yield from self.answers(
                    answers, kind=kind, method=method, data="letters", seed=seed, dose=dose
                )

    def rows(self, noise=0.0):
        return [*self.expectations(), *self.networks(noise=noise), *self.networks("replica", noise=noise)]

    def sidecar(self, **more):
        return {
            "unit": "nats",
            "precision": "float32",
            "template": "none",
            "doses": list(DOSES),
            "finetuning": {"sgd": {"batch": BATCH, "documents": DOCUMENTS}},
            "prior": dict(zip(HYPOTHESES, PRIOR.tolist(), strict=True)),
            **more,
        }


def write(folder, rows, sidecar, name="table"):
    """A table with its sidecar as files; the path of the table."""
    path = folder / f"{name}.csv"
    columns = list(dict.fromkeys(column for row in rows for column in row))
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
    (folder / f"{name}.json").write_text(json.dumps(sidecar))
    return path


@pytest.fixture(scope="session")
def tables():
    return SimpleNamespace(World=World, write=write, DOSES=DOSES, HYPOTHESES=HYPOTHESES, PRIOR=PRIOR)
