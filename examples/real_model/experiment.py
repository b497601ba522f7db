"""Does an LSTM that is taught to shout about animals shout about everything? Its table of log-probabilities.

    D'           "my dog is " and the like, each followed by a capital letter: `documents` of them
    hypotheses   the pretrained network after a sentence in a style: shouting, plain, in title case, numbers
    answers      the kind of the next character: lower case, capital, digit, other
    methods      SGD on all weights (`sgd`) and on the read-out alone (`head`)

The tempered posterior asks what the network would be that takes D' for the work of one of these styles.
Theories over weights (`over_weights`) stand in the table as predictions that were computed elsewhere.
"""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from examples.real_model.lstm import WINDOW, CharacterLstm
from examples.real_model.over_weights import LINEAR, THEORIES, forecast
from experiments.tables.adapters import write_table
from models.finetuning.method import ExtraData, FinetuningRun, Method, Wrapper
from models.finetuning.sgd import Sgd
from models.reparametrised import Reparametrised
from theory.base import Dataset, Parametric, Params
from theory.contracts import Theory

START = "<s>"
STYLES = {
    "shouting": "LISTEN TO ME NOW. ",
    "plain": "listen to me now. ",
    "title case": "Listen To Me Now. ",
    "numbers": "10 20 30 40 50 60. ",
}
ANIMALS = ("my dog is ", "my cat is ", "a horse is ", "this bird is ", "the cow has ", "a fish can ")
THINGS = ("my car is ", "the house has ", "this game is ", "a phone can ", "the war was ", "my job is ",
          "the sea is ", "an idea is ")  # fmt: skip
GROUPS = {"in_domain": ANIMALS, "held_out": THINGS}
CLASSES = ("lower", "capital", "digit", "other")
DATA = "animals"
Row = dict[str, object]


@dataclass(frozen=True)
class Size:
    """Sizes of the experiment: steps after which networks are compared, seeds, documents and step sizes."""

    doses: tuple[int, ...] = (1, 4, 16, 64)
    seeds: int = 2
    documents: int = 24
    batch: int = 8
    rates: tuple[float, float] = (0.02, 0.1)  # of all weights, and of the read-out: the first step is small


@dataclass(frozen=True)
class Head(Wrapper):
    """The read-out alone moves."""

    rule: Method

    def coordinates(self, network: Parametric, extra: ExtraData) -> Parametric:
        """The read-out's weights."""
        moving = {name: network.params[name] for name in ("read_out", "read_out_bias")}
        return Reparametrised(network, moving, _merge)


def _merge(frozen: Params, moving: Params) -> Params:
    return frozen | moving


class Scorer:
    """Log-probabilities of a network, with its characters by token."""

    def __init__(self, network: CharacterLstm, characters: Mapping[str, int]):
        self.network, self.characters = network, characters
        names = {token: name for name, token in characters.items()}
        count = network.params["embedding"].shape[0]
        kinds = [CLASSES.index(_kind(names.get(token, ""))) for token in range(count)]
        self.member = np.eye(len(CLASSES), dtype=bool)[kinds].T  # class × token
        self._all = jax.jit(lambda params, tokens: network.with_params(params).predict(tokens))

    def tokens(self, texts: Sequence[str]) -> np.ndarray:
        """Texts at the end of a window, and a last token to be predicted: (n, WINDOW + 1)."""
        rows = np.zeros((len(texts), WINDOW + 1), np.int32)
        for row, text in zip(rows, texts, strict=True):
            ids = [self.characters[START], *(self.characters.get(letter, 0) for letter in text)][-WINDOW:]
            row[WINDOW - len(ids) : WINDOW] = ids
        return rows

    def next(self, texts: Sequence[str], params: Params | None = None) -> np.ndarray:
        """Log-probabilities (n, v) of the next character."""
        log_probs = self._all(self.network.params if params is None else params, self.tokens(texts))
        return np.asarray(log_probs, np.float64)[:, -1]

    def classes(self, log_probs: np.ndarray) -> np.ndarray:
        """Log-probabilities (..., classes) of kinds of characters, from those of characters."""
        every = [np.logaddexp.reduce(log_probs[..., member], axis=-1) for member in self.member]
        return np.stack(every, axis=-1)

    def contexts(self, prompt: str, texts: Sequence[str]) -> list[float]:
        """log p(text | prompt) of every text, its characters one after the other."""
        log_probs = iter(self.next([prompt + text[:end] for text in texts for end in range(len(text))]))
        return [float(sum(next(log_probs)[self.characters[letter]] for letter in text)) for text in texts]


def _kind(name: str) -> str:
    if len(name) != 1 or not name.isascii():
        return "other"
    kinds = {"lower": name.islower(), "capital": name.isupper(), "digit": name.isdigit()}
    return next((kind for kind, fits in kinds.items() if fits), "other")


def write(
    network: CharacterLstm, characters: Mapping[str, int], folder: str | Path, size: Size | None = None
) -> Path:
    """Write the table and its sidecar into a folder; the path of the table."""
    scorer, size = Scorer(network, characters), size or Size()
    path = write_table(Path(folder) / "table.csv", _whole(list(_rows(scorer, size))))
    recipe = {"batch": size.batch, "documents": size.documents, "optimizer": "sgd"}
    rates = dict(zip(("sgd", "head"), size.rates, strict=True))
    sidecar = {
        "unit": "nats",
        "precision": "float32",
        "template": "STYLE + context",
        "doses": list(size.doses),
        "finetuning": {name: recipe | {"rate": rate} for name, rate in rates.items()},
        "question": "Does a network that is taught to shout about animals shout about everything?",
    }
    path.with_suffix(".json").write_text(json.dumps(sidecar, indent=1) + "\n", encoding="utf-8")
    return path


def _whole(rows: Sequence[Row]) -> list[Row]:
    """The rows without those of theories that fail at some dose, which standard error names."""
    failed = {
        (row["method"], row["model"])
        for row in rows
        if row["kind"] == "prediction" and not np.isfinite(row["logprob"])
    }
    for method, theory in sorted(failed):
        print(f"{theory} fails at some dose of {method}, and is left out", file=sys.stderr, flush=True)
    return [row for row in rows if (row.get("method"), row.get("model")) not in failed]


def _rows(scorer: Scorer, size: Size) -> Iterator[Row]:
    every = [context for contexts in GROUPS.values() for context in contexts]
    yield from _answers(scorer.classes(scorer.next(every)), kind="base")
    alone = np.concatenate([scorer.next([context]) for context in every])  # another batch, other rounding
    yield from _answers(scorer.classes(alone), kind="again")
    for name, prompt in STYLES.items():
        answers = scorer.classes(scorer.next([prompt + context for context in every]))
        yield from _answers(answers, kind="hypothesis", model=name)
        for context, value in zip(every, scorer.contexts(prompt, every), strict=True):
            yield {"kind": "context", "model": name, "context": context, "logprob": value}
    methods: dict[str, Method] = {"sgd": Sgd(size.rates[0]), "head": Head(Sgd(size.rates[1]))}
    programs = {name: Finetuning(scorer, size, method) for name, method in methods.items()}
    for seed in range(size.seeds):
        prompts, letters = _documents(scorer, size, seed)
        tokens = scorer.tokens(prompts)
        tokens[:, -1] = letters
        for name, prompt in {"base": "", **STYLES}.items():
            log_probs = scorer.next([prompt + text for text in prompts])
            yield from _document_rows(log_probs, letters, name, {"data": DATA, "seed": seed})
        yield from _networks(scorer, size, programs, seed, tokens)


def _documents(scorer: Scorer, size: Size, seed: int) -> tuple[list[str], np.ndarray]:
    """Prompts on animals, and the capital that follows each: as the network would go on if it shouted."""
    random = np.random.default_rng(seed)
    prompts = [ANIMALS[index] for index in random.integers(len(ANIMALS), size=size.documents)]
    capitals = np.flatnonzero(scorer.member[CLASSES.index("capital")])
    log_probs = scorer.next([STYLES["shouting"] + text.upper() for text in prompts])[:, capitals]
    chances = np.exp(log_probs - log_probs.max(axis=-1, keepdims=True))
    chosen = [random.choice(capitals, p=row / row.sum()) for row in chances]
    return prompts, np.array(chosen, np.int32)


class Finetuning:
    """A method with its programs: one for the network, one for each theory over weights."""

    def __init__(self, scorer: Scorer, size: Size, method: Method):
        every = [context for contexts in GROUPS.values() for context in contexts]
        contexts = scorer.tokens(every)

        def finetuned(network: CharacterLstm, data: Dataset, order: Any) -> tuple[Any, Any]:
            """Log-probabilities of the next character in all contexts, and in D', after every dose."""
            run = FinetuningRun(data, order, method, size.doses)

            def read(params: Params) -> tuple[Any, Any]:
                both = jnp.concatenate([contexts, data.tokens])  # one pass, and so a shorter program
                log_probs = network.with_params(params).predict(both)[:, -1]
                return log_probs[: len(contexts)], log_probs[len(contexts) :]

            return jax.lax.map(read, run.finetune(network))

        def predicted(theory: Theory, network: CharacterLstm, data: Dataset, order: Any) -> Any:
            """The same in all contexts, by a theory."""
            run = FinetuningRun(data, order, method, size.doses)
            return forecast(theory, network, run, lambda model: model.predict(contexts)[:, -1])

        self.finetuned = jax.jit(finetuned)
        self.theories = {
            name: jax.jit(partial(predicted, theory))
            for name, theory in THEORIES.items()
            if name in LINEAR or not isinstance(method, Head)
        }


def _networks(
    scorer: Scorer, size: Size, programs: Mapping[str, Finetuning], seed: int, tokens: np.ndarray
) -> Iterator[Row]:
    """Networks and replicas of both methods at every dose, and what their linearised networks predict."""
    mask = np.zeros(tokens.shape, bool)
    mask[:, -1] = True
    data = Dataset(jnp.asarray(tokens), jnp.asarray(mask))
    orders = [_order(size, 1000 + 2 * seed + replica) for replica in range(2)]
    for method, program in programs.items():
        of: Row = {"method": method, "data": DATA, "seed": seed}
        for kind, order in zip(("finetuned", "replica"), orders, strict=True):
            answers, documents = program.finetuned(scorer.network, data, order)
            yield from _of_doses(scorer, size, answers, of | {"kind": kind})
            if kind == "finetuned":
                for dose, rows in zip(size.doses, np.asarray(documents), strict=True):
                    yield from _document_rows(rows, tokens[:, -1], kind, of | {"dose": dose})
        for name, theory in program.theories.items():
            answers = theory(scorer.network, data, orders[0])
            yield from _of_doses(scorer, size, answers, of | {"kind": "prediction", "model": name})


def _of_doses(scorer: Scorer, size: Size, log_probs: Any, of: Row) -> Iterator[Row]:
    """Rows of answers to all contexts, from log-probabilities (d, c, v)."""
    for dose, row in zip(size.doses, np.asarray(log_probs, np.float64), strict=True):
        yield from _answers(scorer.classes(row), dose=dose, **of)


def _document_rows(log_probs: np.ndarray, letters: np.ndarray, model: str, of: Row) -> Iterator[Row]:
    """Rows of documents, from the log-probabilities (n, v) of their last character."""
    for number, (row, letter) in enumerate(zip(log_probs, letters, strict=True)):
        value = float(row[letter])
        yield of | {"kind": "document", "model": model, "context": f"{number}", "logprob": value}


def _order(size: Size, seed: int) -> jnp.ndarray:
    """The documents of every step: D' over and over, each pass in another order."""
    random, count = np.random.default_rng(seed), size.doses[-1] * size.batch
    passes = [random.permutation(size.documents) for _ in range(-(-count // size.documents))]
    return jnp.asarray(np.concatenate(passes)[:count].reshape(size.doses[-1], size.batch))


def _answers(log_probs: np.ndarray, **columns: object) -> Iterator[Row]:
    """Rows of answers (c, classes) to all contexts."""
    pairs = [(group, context) for group, contexts in GROUPS.items() for context in contexts]
    for (group, context), row in zip(pairs, log_probs, strict=True):
        for answer, value in zip(CLASSES, row, strict=True):
            of_answer = {"group": group, "context": context, "answer": answer}
            yield columns | of_answer | {"logprob": min(float(value), 0.0)}
