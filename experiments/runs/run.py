"""One run from the command line to the last file: plan, lock, cells, rows, figures, report."""

import json
import os
import platform
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

from experiments.cells.programs import Executor
from experiments.design.experiment import Comparison
from experiments.reports.html import write_report
from experiments.runs.base_networks import Networks, describe, uninformed_nats
from experiments.runs.progress import Progress
from experiments.runs.workers import one_by_one, side_by_side
from experiments.scoring import rows as scoring
from experiments.scoring.convergence import convergence_report
from experiments.scoring.labels import scorecard_text
from experiments.storage import run_folder as disk
from experiments.storage.seal import begin, check, is_forecast, refuse_late, seal
from models.network import build
from theory.errors import Misuse


def run(
    study: Any,
    config: Any,
    resolved: dict[str, Any],
    out: str,
    networks: str,
    dry_run: bool,
    strict: bool = False,
    jobs: int = 1,
    draw: Callable[[disk.Results], list[Path]] | None = None,
) -> disk.Results | None:
    """Everything `finebayes run` does after its options are parsed; `draw` stands for the study's own."""
    if jobs < 1:
        raise Misuse(f"jobs must be at least 1, got {jobs}.")
    if not getattr(config, "optimise", True):
        _compile_fast()
    comparison = study.comparison(config)
    if dry_run:
        print(plan(comparison, resolved))
        return None
    folder, kept = _places(resolved, out, networks)
    progress = Progress()
    with disk.locked(folder):
        results = disk.create(folder, resolved, environment())
        done = folder / "DONE"
        done.unlink(missing_ok=True)
        progress.say(f"{resolved['study']} ({resolved['preset']}) in {folder}")
        sealed = check(results)
        workers = (study.__name__, config, jobs) if jobs > 1 else None
        run_cells(comparison, results, Networks(kept), progress, workers)
        if sealed:
            progress.say(f"the forecasts are those sealed on {sealed.made} ({sealed.hash})")
        progress.say("scoring")
        table = scoring.rows(results)
        results.save_rows(table)
        if not (path := folder / "networks.json").exists():
            disk.write_json(path, _quality(comparison, Networks(kept)))
        disk.write(done, lambda file: None)  # every cell is finished and scored; pictures can be redrawn
        progress.say("drawing")
        figures = (draw or study.draw)(results) if table else []
        report = write_report(results)
    print(scorecard_text(scoring.scorecard(table)))
    for failed, reason in results.failures().items():
        print(f"failed: {failed}: {reason}")
    judged = convergence_report(results)
    if judged.sentence:
        print(f"\nGATE: {judged.sentence}")
    print(f"\nfigure  {figures[0] if figures else '(nothing to draw)'}\nreport  {report}\nfolder  {folder}")
    if strict and judged.problems:
        where, theory, time, said = judged.problems[0]
        raise Misuse(f"Strict: {judged.sentence} The first: {where}, {theory} at τ = {time:g}: {said}")
    return results


def forecast(study: Any, config: Any, resolved: dict[str, Any], out: str, networks: str) -> None:
    """Everything `finebayes forecast` does: all that theories say, sealed before any finetuning."""
    if not getattr(config, "optimise", True):
        _compile_fast()
    comparison = study.comparison(config)
    folder, kept = _places(resolved, out, networks)
    progress = Progress()
    with disk.locked(folder):
        results = disk.create(folder, resolved, environment())
        progress.say(f"forecasts of {resolved['study']} ({resolved['preset']}) in {folder}")
        refuse_late(results)
        run_cells(comparison, results, Networks(kept), progress, only=is_forecast)
        sealed = seal(results)
    for failed, reason in results.failures().items():
        print(f"failed: {failed}: {reason}")
    print(f"sealed  {sealed.cells} cells on {sealed.made}\nseal    {sealed.hash}\nfolder  {folder}")
    print("\nThe same options with `finebayes run` finetune and score exactly these forecasts.")


def _places(resolved: dict[str, Any], out: str, networks: str) -> tuple[Path, Path]:
    """The run's folder, and where base networks are kept."""
    root = Path("results")
    folder = Path(out) if out else root / resolved["study"] / disk.digest(resolved)
    return folder, Path(networks) if networks else (folder if out else root) / "networks"


def run_cells(
    comparison: Comparison,
    results: disk.Results,
    networks: Networks,
    progress: Progress,
    workers: tuple[str, Any, int] | None = None,
    only: Callable[[str], bool] = lambda cell: True,
) -> None:
    """Run every cell that is not finished; finetuning notes its beginning. `beside` is a study's module, its
    config and a number of processes, where cells are to run side by side."""
    wanted = [cell for cell in comparison.cells() if only(cell)]
    missing = [cell for cell in wanted if not results.finished(cell)]
    if not missing:
        return

    def noted(cells: list[str]) -> Iterator[str]:
        for cell in cells:
            if not is_forecast(cell):
                begin(results)
            yield cell

    if workers:
        networks.pretrained(comparison, progress)
        study, config, jobs = workers
        finished = side_by_side(study, config, networks.folder, results, list(noted(missing)), jobs)
    else:
        bench = Executor(comparison, networks.template(comparison))
        bases = networks.pretrained(comparison, progress, meanwhile=bench.compile)
        finished = one_by_one(bench, bases, results, noted(missing))
    with progress.cells(len(wanted), len(wanted) - len(missing)) as advance:
        for cell, failure, said in finished:
            advance(cell, failure)
            for line in said:
                progress.say(f"        {line}")


def _compile_fast() -> None:
    """Programs that run slower and compile in half the time; to be called before the first is compiled."""
    jax.config.update("jax_disable_most_optimizations", True)
    if jax.__version_info__[:2] == (0, 10):  # a flag that another version does not know would end the process
        flags = os.environ.get("XLA_FLAGS", "")
        os.environ["XLA_FLAGS"] = f"{flags} --xla_cpu_use_fusion_emitters=false".strip()


def plan(comparison: Comparison, resolved: dict[str, Any]) -> str:
    """What a run would do: config, sizes, steps, and estimates of time and disk."""
    process = comparison.process
    network = build(comparison.shape, process.vocabulary, process.length, [0])
    cells = len(comparison.arms) * comparison.base_seeds
    finetuned = cells * len(comparison.methods) * comparison.seeds * 2
    flops = 6 * network.size * process.length
    pretraining = comparison.base_seeds * comparison.pretraining.steps * comparison.pretraining.batch
    finetuning = finetuned * comparison.steps * comparison.batch
    # linearised steps cost about two, proximal about 700 passes over D' for each base, arm and seed
    theories = finetuning + cells * comparison.seeds * 700 * comparison.n
    chains, kept = 0, 0.0
    sampling, arms = comparison.sampling, len(comparison.arms)
    if sampling:
        posteriors = sum(len(each.times) for each in sampling.sets()) * arms * sampling.bases * sampling.seeds
        rounds = (1 + sampling.rounds) / 2  # about half of them need all
        chains = int(posteriors * sampling.chains * rounds)
        # a draw costs about as much as a step; the pilot a third of a chain for each posterior
        theories += (chains * (sampling.plan.steps + sampling.plan.samples) + posteriors * 40) * comparison.n
        kept = posteriors
    rate = 25e9 * len(jax.devices())  # floating-point operations a second of a small network on one core
    seconds = 45 + flops * (pretraining + finetuning + theories) / rate
    part = process.answer_tokens
    answers = 80 * (part.stop - part.start) * 4  # some 80 contexts in float32
    size = 4 * network.size * comparison.base_seeds + answers * (
        cells * comparison.seeds * 700 + finetuned * 2 * len(comparison.doses) + kept
    )
    return "\n".join(
        [
            json.dumps(resolved, indent=1),
            f"parameters          {network.size}",
            f"pretraining steps   {comparison.pretraining.steps} × {comparison.base_seeds} networks",
            f"finetuning steps    {comparison.steps} × {finetuned} networks (twins included)",
            *([f"Langevin chains     about {chains} of {sampling.plan.steps} steps"] if sampling else []),
            f"cells               {len(comparison.cells())}",
            f"estimated time      {seconds:.0f} s on {len(jax.devices())} device(s)",
            f"estimated disk      {size / 1e6:.0f} MB",
        ]
    )


def environment() -> dict[str, Any]:
    """Where and with what a run was made; a commit is None outside a git checkout."""
    from importlib.metadata import version

    def git(*words: str) -> str | None:
        try:
            here = Path(__file__).parent
            done = subprocess.run(["git", *words], cwd=here, capture_output=True, text=True, timeout=10)
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    packages = ("jax", "jaxlib", "flax", "optax", "numpyro", "numpy", "matplotlib")
    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "system": platform.system(),
        "packages": {name: version(name) for name in packages},
        "devices": [str(device) for device in jax.devices()],
        "cores": os.cpu_count(),
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
        "commit": git("rev-parse", "HEAD"),
        "dirty": bool(git("status", "--porcelain")),
    }


def _quality(comparison: Comparison, networks: Networks) -> dict[str, Any]:
    quality = networks.quality(describe(comparison))
    return {
        "networks": quality,
        "mean": float(np.mean([one["mean"] for one in quality])),
        "first_answer": float(np.mean([one["first_answer"] for one in quality])),
        "uninformed": uninformed_nats(comparison.process.distribution()),
    }
