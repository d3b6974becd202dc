"""Timing in fresh processes, interleaved: what else the machine does hits every contender alike."""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any


def resident() -> int:
    """Bytes this process holds now."""
    with open("/proc/self/statm", encoding="ascii") as pages:  # noqa: PTH123
        return int(pages.read().split()[1]) * resource.getpagesize()


def peak() -> int:
    """The most bytes this process has ever held. (`ru_maxrss` would count its parent's as well.)"""
    with open("/proc/self/status", encoding="ascii") as lines:  # noqa: PTH123
        held = next(line for line in lines if line.startswith("VmHWM:"))
    return int(held.split()[1]) * 1024


def timed(work: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
    """What `work` returns; its wall and CPU seconds, and its peak memory above what was held before."""
    before, wall, cpu = resident(), time.perf_counter(), time.process_time()
    result = work()
    seconds = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
    return result, seconds | {"peak": float(max(peak() - before, 0))}


def told(command: Sequence[str]) -> dict[str, Any]:
    """Run a command in a fresh process; the JSON object on the last line it prints."""
    done = subprocess.run([sys.executable, *command], check=False, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"a contender failed:\n{done.stderr}")
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def interleaved(commands: Mapping[str, Sequence[str]], rounds: int) -> dict[str, list[dict[str, Any]]]:
    """Every command once a round, in turn."""
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            found[name].append(told(command))
    return found


def median(rounds: Sequence[Mapping[str, Any]], key: str) -> float:
    """The median of one measurement."""
    return statistics.median(float(run[key]) for run in rounds)
