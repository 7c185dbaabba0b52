"""Many seeds of chaos, some of them side by side: a run mostly waits."""

import asyncio
import multiprocessing
import resource
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from benchmarks.bridge import chaos


def run(first: int, runs: int, *, stations: int, jobs: int) -> int:
    """Run seeds and print a line for each as it ends; return how many failed."""
    failed = 0
    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn"), max_tasks_per_child=1) as pool:
        running = {pool.submit(run_one, seed, stations): seed for seed in range(first, first + runs)}
        for done in as_completed(running):
            error = done.exception()
            failed += error is not None
            outcome = done.result() if error is None else f"FAILED: {type(error).__name__}: {error}"
            print(f"seed {running[done]}: {outcome}", flush=True)
    print(f"{runs} seeds, {failed} failed")
    return failed


def run_one(seed: int, stations: int) -> str:
    """Run a seed in this process; return what happened and what it cost, in a line.

    Raises:
        AssertionError: something that must hold did not.
    """

    async def bounded() -> chaos.Report:
        one = chaos.Chaos(seed, stations=stations)
        with tempfile.TemporaryDirectory() as folder:
            async with asyncio.timeout(chaos.longest(one).total_seconds()):
                return await chaos.run(one, Path(folder))

    begun_s = time.monotonic()
    report = asyncio.run(bounded())
    return f"{report.text()}; {time.monotonic() - begun_s:.0f} s, {_cpu_s():.0f} s of CPU"


def _cpu_s() -> float:
    """Return what this process and its ended children have used; a seed has a process of its own."""
    spent = [resource.getrusage(whose) for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in spent)
