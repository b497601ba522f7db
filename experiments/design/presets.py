"""Presets: options that many studies change together, by dotted name."""

from typing import Any

# A run of seconds: small networks, few seeds, no chains, programs that compile fast.
SMOKE: dict[str, Any] = {
    "network.layers": 1,
    "pretraining.steps": 150,
    "pretraining.batch": 32,
    "pretraining.seeds": 2,
    "finetuning.seeds": 2,
    "finetuning.doses": (1, 8, 32),
    "finetuning.n": 16,
    "finetuning.batch": 8,
    "repeats": 2,
    "sampling.temperatures": (),
    "optimise": False,
}
# Shorter still, for the many studies of phenomena: one method, narrow networks, few steps.
BRIEF: dict[str, Any] = SMOKE | {
    "network.width": 8,
    "pretraining.steps": 50,
    "finetuning.methods": ("sgd",),
    "finetuning.doses": (1, 4, 8),
    "repeats": 1,
}
# A run of hours: wider networks, longer pretraining, more seeds.
FULL: dict[str, Any] = {
    "network.width": 64,
    "pretraining.steps": 4000,
    "pretraining.seeds": 6,
    "finetuning.seeds": 10,
    "repeats": 16,
    "finetuning.n": 128,
}
# Chains of a smoke run, and of a run of hours with the networks of `small`.
SHORT_CHAINS: dict[str, Any] = {
    "sampling.temperatures": (0.001,),
    "sampling.warmup": 10,
    "sampling.samples": 12,
    "sampling.rounds": 1,
    "sampling.bases": 1,
    "finetuning.batch": 4,
}
MANY_CHAINS: dict[str, Any] = {
    "pretraining.seeds": 6,
    "finetuning.seeds": 10,
    "sampling.chains": 4,
    "sampling.samples": 200,
    "sampling.seeds": 2,
    "repeats": 16,
}
