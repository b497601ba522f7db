"""Settings of a run as columns beside its scores. No jax."""

import json
from collections.abc import Iterator

from experiments.storage.run_folder import RunFolder


def settings(run: RunFolder) -> dict[str, object]:
    """Preset, share of inference learnt and options of a run by dotted name; what is a list there, as
    JSON."""

    def flat(name: str, value: object) -> Iterator[tuple[str, object]]:
        if isinstance(value, dict):
            for inner, part in value.items():
                yield from flat(f"{name}.{inner}", part)
        else:
            yield name, json.dumps(value) if isinstance(value, list) else value

    quality = run.quality()
    learnt = quality.learnt if quality else None
    return {"preset": run.config.preset, "learnt": learnt, **dict(flat("config", run.options))}
