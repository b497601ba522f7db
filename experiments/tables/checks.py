"""Checks of a table before anything is made of it: each names the row and the column. Numpy only."""

import numpy as np

from experiments.storage.records import check_name
from experiments.tables.columns import IN_DOMAIN, KINDS, NEEDED, NUMBER, Table, refuse
from experiments.tables.sidecar import Sidecar
from theory.errors import Misuse

ROUNDED = 1e-5  # nats above 0 that rounding leaves
LEAST = -1e9  # nats: less than a book has
DIGITS = 18  # of a dose and of a number of tokens, at most
OTHER_BASES = {"log2 (bits)": 2.0, "log10": 10.0}
CLOSE, MOST = 2e-3, 0.9  # probabilities that add to 1 so closely, in that share of the contexts, are whole


def check_table(table: Table, sidecar: Sidecar) -> None:
    """Refuse a table whose rows cannot be what they say."""
    _check_kinds(table)
    _check_numbers(table)
    _check_doses(table, sidecar)
    _check_names(table, sidecar)
    _check_unit(table)
    _check_tokens(table)


def _check_kinds(table: Table) -> None:
    for kind in dict.fromkeys(table.words["kind"]):
        rows = table.rows(kind)
        if not len(rows):
            continue
        if kind not in KINDS:
            raise refuse(table, rows[0], "kind", f"{kind!r:.40} is none of {', '.join(KINDS)}.")
        for column in NEEDED[kind]:
            empty = rows[table.codes[column][rows] == table.code(column, "")]
            if len(empty):
                raise refuse(table, empty[0], column, f"a row of kind {kind} needs one.")
    if not len(table.rows("base")):
        raise Misuse("The table has no rows of kind base: every shift is measured from the base model.")
    if IN_DOMAIN not in table.used("group", table.rows("base")):
        raise Misuse(
            f"No base row has the group {IN_DOMAIN}: strengths are fitted on contexts like D', which need it."
        )


def _check_numbers(table: Table) -> None:
    infinite = np.flatnonzero(~np.isfinite(table.logprob))
    if len(infinite):
        row = int(infinite[0])
        raise refuse(table, row, NUMBER, f"{table.logprob[row]} is no finite number of nats.")
    small = np.flatnonzero(table.logprob < LEAST)
    if len(small):
        row = int(small[0])
        wrong = f"{table.logprob[row]:g} is below {LEAST:g}, as no answer and no document is; give nats."
        raise refuse(table, row, NUMBER, wrong)
    positive = np.flatnonzero(table.logprob > ROUNDED)
    if len(positive):
        row = int(positive[0])
        raise refuse(
            table,
            row,
            NUMBER,
            f"{table.logprob[row]:g} is above 0, and a log-probability is not: give log p, not -log p or p.",
        )


def _check_doses(table: Table, sidecar: Sidecar) -> None:
    """Doses are whole numbers; those of checkpoints stand in the sidecar."""
    for kind, columns in KINDS.items():
        rows = table.rows(kind)
        if "dose" not in columns or not len(rows):
            continue
        for word in table.used("dose", rows):
            row = int(rows[table.codes["dose"][rows] == table.code("dose", word)][0])
            if not _is_count(word):
                wrong = f"{word!r:.40} is no whole number from 1 on, of {DIGITS} digits at most."
                raise refuse(table, row, "dose", wrong)
            if kind not in ("shots", "context") and int(word) not in sidecar.doses:
                raise refuse(
                    table, row, "dose", f"{word} is none of the sidecar's doses {list(sidecar.doses)}."
                )


def _is_count(word: str) -> bool:
    """Whether a word is a whole number from 1 on."""
    return word.isdecimal() and len(word) <= DIGITS and int(word) >= 1


def _check_names(table: Table, sidecar: Sidecar) -> None:
    every = np.arange(len(table))
    for column, what in (("method", "The method"), ("data", "The data")):
        for word in table.used(column, every):
            try:
                check_name(what, word)
            except Misuse as error:
                row = int(every[table.codes[column] == table.code(column, word)][0])
                raise refuse(table, row, column, str(error)) from error
    for word in table.used("method", every):
        if word not in sidecar.finetuning:
            row = int(every[table.codes["method"] == table.code("method", word)][0])
            raise refuse(table, row, "method", f"{word} has no recipe in the sidecar's `finetuning`.")


def _check_unit(table: Table) -> None:
    """Refuse numbers that are whole probabilities to another base than e."""
    rows = table.rows("base")
    keys = np.stack([table.codes[name][rows] for name in ("data", "base", "group", "context")])
    _, context = np.unique(keys, axis=1, return_inverse=True)
    context = context.reshape(-1)

    def whole(base: float) -> float:
        """The share of contexts whose probabilities add to 1."""
        sums = np.bincount(context, weights=base ** table.logprob[rows])
        return float(np.mean(np.abs(sums - 1) < CLOSE))

    if whole(np.e) < MOST:
        for name, base in OTHER_BASES.items():
            if whole(base) >= MOST:
                raise refuse(
                    table,
                    int(rows[0]),
                    NUMBER,
                    f"answers add to probability 1 if these are {name}; multiply them by {np.log(base):.6f}.",
                )


def _check_tokens(table: Table) -> None:
    """Refuse one answer that models split into different numbers of tokens."""
    known = np.flatnonzero(table.codes["tokens"] != table.code("tokens", ""))
    for word in table.used("tokens", known):
        if not _is_count(word):
            row = int(known[table.codes["tokens"][known] == table.code("tokens", word)][0])
            raise refuse(table, row, "tokens", f"{word!r:.40} is no number of tokens, from 1 on.")
    known = known[table.codes["answer"][known] != table.code("answer", "")]
    if not len(known):
        return
    codes = [table.codes[name][known].astype(np.int64) for name in ("context", "answer")]
    pair = codes[0] * len(table.words["answer"]) + codes[1]
    order = np.lexsort((known, pair))
    equal = pair[order][1:] == pair[order][:-1]
    counts = table.codes["tokens"][known][order]
    odd = np.flatnonzero(equal & (counts[1:] != counts[:-1]))
    if len(odd):
        first, second = int(known[order[odd[0]]]), int(known[order[odd[0] + 1]])
        raise refuse(
            table,
            second,
            "tokens",
            f"{table.word('tokens', second)} tokens, and {table.word('tokens', first)} in "
            f"{table.location(first)}, of the same answer: tokenisers must not differ.",
        )
