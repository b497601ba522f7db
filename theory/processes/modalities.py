"""Modalities: one hidden concept, rendered as text, as an ASCII picture or as a vector drawing.

    z ~ π0,  π0(z) ∝ rarity^z       one concept a document
    x = blocks of (cue m, symbol_1, ..., symbol_J),   symbol_j ~ p(· | z, m, j, symbol_{j-1})
    text: words alike at every place     picture: a pixel for each place     drawing: a stroke after a stroke
    log p = sharpness × normal(z, m, ...) + c over the alphabet of m, drawn from `seed`; with probability
    `slip` a symbol of another alphabet, uniformly (so that no answer is impossible)

`together` is about pretraining. True: each block's cue is uniform, so a document renders z in
several alphabets. False: a document has one modality, its home h, uniform and independent of z. The hidden
variable is then the cell (z, h), `factors` = (concepts, homes), and a cell knows its own alphabet alone
(uniform symbols for other cues, which never come). What D' in one alphabet then tells of another, exactly:

    together   π(z) ∝ π0(z) p(D' | z)^β: the answers of another alphabet follow the concept, all the way
    apart      cells of other homes keep their odds π0(z): nothing, at any β, n or concept (own derivation:
               the cue rules out the cells that D' moved, D' moved the others alike). A learner that takes
               concept and home apart (exchangeable mixture, family product) still transfers all of it

So the pretraining distribution alone does not decide whether "a cat" drawn and "a cat" written are one thing.

Tokens: cues are 0 ... 2; the symbols of text, picture and drawing follow, `symbols` of each.
"""

from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from theory.arguments import checked
from theory.base import Dataset, Key, LogProbs, Misuse, Tokens, at_tokens, host_stream
from theory.compute.memory import check_fits
from theory.compute.random import categorical, sample_on_host
from theory.contracts import Task
from theory.latent.documents import check_at_least, check_documents, dataset, prompts
from theory.latent.mixture import Mixture

MODALITIES = ("text", "picture", "drawing")
KINDS = len(MODALITIES)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Renderer:
    """One concept's documents: log p(cue), and log p(symbol | place, state).

    A state is a cue and the symbol before it: one of its own alphabet, or (the last) none.
    """

    cues: Float[Array, "*batch cues"]
    table: Float[Array, "*batch places states symbols"]
    blocks: int = field(metadata={"static": True})

    def predict(self, tokens: Tokens) -> LogProbs:
        """Cues where a block starts, then this concept's symbols."""
        places, _, symbols = self.table.shape[-3:]
        blocks = tokens.reshape(len(tokens), -1, places + 1)
        cues = jnp.broadcast_to(blocks[..., :1], blocks[..., :-1].shape)
        state = _states(cues, blocks[..., :-1], symbols // KINDS)
        reply = jnp.einsum("nbjs,jsv->nbjv", state, self.table, precision="highest")
        reply = jnp.pad(reply, ((0, 0), (0, 0), (0, 0), (KINDS, 0)), constant_values=-jnp.inf)
        asks = jnp.pad(self.cues, (0, symbols), constant_values=-jnp.inf)
        asks = jnp.broadcast_to(asks, (*blocks.shape[:2], 1, KINDS + symbols))
        return jnp.concatenate([asks, reply], axis=2).reshape(*tokens.shape, -1)

    def sample(self, key: Key, n: int) -> Tokens:
        """Draw n documents, place by place, all blocks at once."""
        cue_key, key = jax.random.split(key)
        cue = categorical(cue_key, self.cues, shape=(n, self.blocks))
        drawn = [cue]
        for stroke in range(self.table.shape[-3]):
            state = _states(cue, drawn[-1], self.table.shape[-1] // KINDS)
            logits = jnp.matmul(state, self.table[stroke], precision="highest")
            drawn.append(KINDS + categorical(jax.random.fold_in(key, stroke), logits))
        return jnp.stack(drawn, axis=-1).reshape(n, -1)

    def log_prob(self, tokens: Tokens) -> Float[Array, " n"]:
        """Log-probability (nats) of whole documents."""
        return jnp.sum(at_tokens(self.predict(tokens), tokens), axis=-1)


@checked
@dataclass(frozen=True)
class Modalities:
    """The process and its tasks. Fields are plain numbers, fit for JSON.

    Raises `Misuse` for sizes that make no process.
    """

    concepts: int = 4
    """Hidden concepts z, with prior proportional to rarity^z."""
    symbols: int = 4
    """Symbols of each alphabet."""
    strokes: int = 3
    """Symbols in a block."""
    blocks: int = 5
    """Blocks in a document, each with the cue of its alphabet first."""
    together: bool = True
    """Documents that render their concept in several alphabets; without, each has one alone."""
    sharpness: float = 2.0
    """Differences of concepts (standard deviation of log-odds)."""
    slip: float = 0.02
    """Probability of a symbol of another alphabet."""
    rarity: float = 0.6
    """Prior of each concept over that of the one before."""
    seed: int = 0
    """Seed of the renderings."""

    def __post_init__(self) -> None:
        check_at_least(1, strokes=self.strokes)
        check_at_least(2, concepts=self.concepts, symbols=self.symbols, blocks=self.blocks)
        sizes = {"strokes": self.strokes, "before": self.symbols + 1, "after": KINDS * self.symbols}
        check_fits("The tables of symbols", concepts=self.concepts, alphabets=KINDS, **sizes)
        if not np.isfinite(self.sharpness):
            raise Misuse(f"sharpness must be finite, got {self.sharpness}.")
        if not 0 < self.slip < 0.5:
            raise Misuse(f"slip must be between 0 and 0.5, both left out, got {self.slip}.")
        if not 0 < self.rarity <= 1:
            raise Misuse(f"rarity must be in (0, 1], got {self.rarity}: π0(z) ∝ rarity^z.")

    @property
    def homes(self) -> int:
        """Kinds of document: one that renders in all alphabets, or one for each alphabet."""
        return 1 if self.together else KINDS

    @property
    def vocabulary(self) -> int:
        """Number of tokens."""
        return KINDS * (1 + self.symbols)

    @property
    def length(self) -> int:
        """Tokens in a document."""
        return self.blocks * (1 + self.strokes)

    @property
    def answer_tokens(self) -> slice:
        """The part of the vocabulary that answers are drawn from: the symbols of all alphabets."""
        return slice(KINDS, self.vocabulary)

    def distribution(self) -> Mixture:
        """The exact process, a mixture of cells (concept, home).

        Where modalities are seen apart, no cell writes cues of two: condition on data that count such cues
        together and nothing is left (D' counts symbols only, and is of one modality).
        """
        table = np.repeat(self.emission_table()[:, None], self.homes, axis=1)  # (z, h, m, j, before, symbol)
        cues = np.full((1, KINDS), 1 / KINDS)
        if not self.together:
            cues = np.eye(KINDS)
            native = np.where(self._is_own(), (1 - self.slip) / self.symbols, self._stray())
            foreign = ~np.eye(KINDS, dtype=bool)
            table = np.where(foreign[:, :, None, None, None], native[:, None, None], table)
        cells = (self.concepts * self.homes,)
        states = (self.strokes, KINDS * (self.symbols + 1), KINDS * self.symbols)
        with np.errstate(divide="ignore"):
            cues = np.log(np.tile(cues, (self.concepts, 1)))
        components = Renderer(
            jnp.asarray(cues, jnp.float32),
            jnp.asarray(np.log(np.moveaxis(table, 3, 2).reshape(*cells, *states)), jnp.float32),
            self.blocks,
        )
        prior = np.repeat(np.arange(self.concepts) * np.log(self.rarity), self.homes)
        prior = jnp.asarray(prior - np.log(np.sum(np.exp(prior))), jnp.float32)
        return Mixture(components, prior, (self.concepts, self.homes))

    def emission_table(self) -> np.ndarray:
        """p(symbol | z, m, place, own symbol before or none), float64, (z, m, j, a + 1, m × a)."""
        random = np.random.default_rng(self.seed)
        z, j, a = self.concepts, self.strokes, self.symbols
        shapes = ((z, 1, 1, a), (z, j, 1, a), (z, 1, a + 1, a))  # text, picture, drawing
        table = np.full((z, KINDS, j, a + 1, KINDS * a), self._stray())
        for m, shape in enumerate(shapes):
            logits = self.sharpness * random.normal(size=shape)
            likely = np.exp(logits - logits.max(axis=-1, keepdims=True))
            likely *= (1 - self.slip) / np.sum(likely, axis=-1, keepdims=True)
            table[:, m, ..., m * a : (m + 1) * a] = likely
        return table

    def answer_mask(self) -> Bool[np.ndarray, " t"]:
        """The positions that finetuning counts: the symbols."""
        return np.arange(self.length) % (1 + self.strokes) > 0

    def token_names(self) -> tuple[str, ...]:
        """A name for every token."""
        symbols = (f"{name} {symbol + 1}" for name in MODALITIES for symbol in range(self.symbols))
        return (*(f"{name}:" for name in MODALITIES), *symbols)

    def elicitation_contexts(self) -> Dataset:
        """Each cue first: the first symbol shows the prior over the concepts, and nothing else."""
        return prompts(self.length, np.arange(KINDS))

    def narrow(self, key: Key, n: int, concept: int, modality: str) -> Dataset:
        """D': n documents of one concept in one modality; only symbols count."""
        self._check(concept, modality)
        check_documents(n)
        cues = np.full((n, self.blocks), MODALITIES.index(modality))
        tokens = self._blocks(host_stream(key), np.full(n, concept), cues)
        return dataset(tokens, self.answer_mask())

    def task(
        self,
        concept: int | None = None,
        modality: str = "drawing",
        repeats: int = 4,
        shots: int = 1,
        name: str | None = None,
    ) -> Task:
        """D' of one concept in one modality, and its contexts; by default the rarest concept, drawn.

        Named groups of contexts; the mask marks the symbols to predict (padding follows the last).

        in_domain   fresh documents like D', every symbol of 4 × `repeats` of them
        held_out    the cues of the other modalities, asked first: their first symbol
        as_MODALITY the first block of one of them, rendered by D's concept, `repeats` times: every symbol
        in_context  the same cues after `shots` blocks of D's concept in D's modality (if seen together)
        conflict    the same cues after `shots` blocks of another concept, in turn, in the asked modality

        The last two ask every cue `repeats` times; all can happen in pretraining.
        """
        concept = self.concepts - 1 if concept is None else concept
        self._check(concept, modality)
        check_at_least(1, repeats=repeats, shots=shots)
        return Task(
            name or modality,
            lambda key, n: self.narrow(key, n, concept, modality),
            lambda key: self._contexts(key, concept, modality, repeats, shots),
        )

    def _contexts(
        self, key: Key, concept: int, modality: str, repeats: int, shots: int
    ) -> dict[str, Dataset]:
        """The groups of contexts of a task."""
        shots = min(shots, self.blocks - 1)
        random = host_stream(jax.random.fold_in(key, 1))
        home = MODALITIES.index(modality)
        held_out = np.delete(np.arange(KINDS), home)
        groups = {
            "in_domain": self.narrow(jax.random.fold_in(key, 0), 4 * repeats, concept, modality),
            "held_out": prompts(self.length, held_out),
        }
        for cue in held_out:
            tokens = self._blocks(random, np.full(repeats, concept), np.full((repeats, 1), cue))
            padded = np.zeros((repeats, self.length), np.int32)
            padded[:, : tokens.shape[1]] = tokens
            mask = self.answer_mask() & (np.arange(self.length) <= self.strokes)
            groups[f"as_{MODALITIES[cue]}"] = dataset(padded, mask)
        queries = np.repeat(held_out, repeats)
        if self.together:
            shown = self._blocks(random, np.full(len(queries), concept), np.full((len(queries), shots), home))
            groups["in_context"] = prompts(self.length, shown, queries)
        rivals = np.delete(np.arange(self.concepts), concept)[np.arange(len(queries)) % (self.concepts - 1)]
        rival = self._blocks(random, rivals, np.repeat(queries[:, None], shots, axis=1))
        return groups | {"conflict": prompts(self.length, rival, queries)}

    def _check(self, concept: int, modality: str) -> None:
        """Refuse a concept or a modality of D' that this process does not have."""
        if not 0 <= concept < self.concepts:
            raise Misuse(f"concept must be from 0 to {self.concepts - 1}, got {concept}.")
        if modality not in MODALITIES:
            raise Misuse(f"modality must be one of {MODALITIES}, got {modality!r}.")

    def _is_own(self) -> np.ndarray:
        """Which symbols are of which alphabet, (m, m × a)."""
        return np.repeat(np.eye(KINDS, dtype=bool), self.symbols, axis=1)

    def _stray(self) -> float:
        """Probability of one symbol of another alphabet."""
        return self.slip / ((KINDS - 1) * self.symbols)

    def _blocks(self, random: np.random.Generator, concepts: np.ndarray, cues: np.ndarray) -> np.ndarray:
        """Blocks of the given concepts (n,) and cues (n, b), one after the other: (n, b × (1 + j))."""
        table = self.emission_table()
        drawn, before = [cues], np.full(cues.shape, self.symbols)
        for stroke in range(self.strokes):
            symbol = sample_on_host(random, table[concepts[:, None], cues, stroke, before])
            drawn.append(symbol + KINDS)
            before = np.where(symbol // self.symbols == cues, symbol % self.symbols, self.symbols)
        return np.stack(drawn, axis=-1).reshape(len(cues), -1).astype(np.int32)


def example() -> Modalities:
    """A process small enough to enumerate."""
    return Modalities(concepts=2, symbols=2, strokes=2, blocks=2, slip=0.1)


def _states(
    cue: Int[Array | np.ndarray, "*s"], before: Int[Array | np.ndarray, "*s"], symbols: int
) -> Float[Array, "*s states"]:
    """Which row of a table the next symbol is drawn from, one-hot: the cue, and the own symbol before it."""
    cues = jax.nn.one_hot(cue, KINDS)[..., None]
    native = cues * jax.nn.one_hot(before - KINDS, KINDS * symbols).reshape(*before.shape, KINDS, symbols)
    none = cues * (1 - jnp.sum(native, axis=-1, keepdims=True))
    return jnp.concatenate([native, none], axis=-1).reshape(*before.shape, -1)
