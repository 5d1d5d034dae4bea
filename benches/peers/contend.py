"""Runs one peer on the windows of a JSON file and prints what it said and what it cost.

Usage: contend.py WORK.json

WORK.json is one object: `contender`, a name of contenders.py; `step_ms`; `season` and `seasons`, in steps; `horizon`, 0 for
fits alone; `jobs`, processes at once; `limit`, the CPU-seconds that one window may take; `budget`, those that all may take;
and `series`, a list of {"start_ms": t, "values": [y, or null where unobserved]}.

The first window is fitted and forecast once in a process of its own, which the kernel stops at the limit: then the answer is
{"too_slow": CPU-seconds}. Else the first windows, as many as the budget holds at that price, are fitted in one call; twice
where that takes no minute, the second time being the one that counts, so that what is compiled or cached is warm.

The last line printed is one JSON object: `tried`, windows fitted; `repetitions`; `fit_cpu_seconds`, children counted, and
`fit_wall_seconds` of the call that counts; `forecast_cpu_seconds`; `peak_mib`, the larger of this process's high-water mark
and its largest child's; and `rows`, one for each window tried: {"mean", "low", "high", "fit"} or {"error"}.
"""

import ctypes
import json
import math
import os
import resource
import signal
import sys
import time

from contenders import contender

# CPU-seconds of a call from which processes of its own pay: starting them takes tens of milliseconds.
WORTH_A_POOL = 1.0
# CPU-seconds of a call up to which it is made twice: a longer one is warm for nearly all of its time.
WORTH_REPEATING = 60.0


def die_with_parent():
    PR_SET_PDEATHSIG = 1
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def cpu_seconds():
    both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in both)


def peak_mib():
    with open("/proc/self/status") as status:
        own = next(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))
    return max(own, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss) / 1024


def price(peer, work):
    """CPU-seconds of the first window, or None where it passes the limit."""
    child = os.fork()
    if child == 0:
        resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(work["limit"]),) * 2)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        rows(peer.fit(peer.prepared(work["series"][:1]), 1), work["horizon"])
        os._exit(0)
    _, status, usage = os.wait4(child, 0)
    stopped = os.WIFSIGNALED(status) and os.WTERMSIG(status) in (signal.SIGXCPU, signal.SIGKILL)
    spent = usage.ru_utime + usage.ru_stime
    return None if stopped and spent >= 0.9 * work["limit"] else max(spent, 1e-4)


def plain(value):
    """What JSON knows: numbers that are finite, and null for the rest."""
    if isinstance(value, dict):
        return {name: plain(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def row(fitted, horizon):
    if isinstance(fitted, Exception):
        return {"error": str(fitted)}
    try:
        if horizon == 0:
            return {"mean": [], "low": [], "high": [], "fit": None}
        mean, low, high = ([float(v) for v in curve] for curve in fitted.forecast(horizon))
        return {"mean": mean, "low": low, "high": high, "fit": fitted.exported()}
    except Exception as error:  # a failure is a figure of its own
        return {"error": f"{type(error).__name__}: {error}"}


def rows(fitted, horizon):
    return [row(one, horizon) for one in fitted]


def answer(work):
    peer = contender(work["contender"], work)
    first = price(peer, work)
    if first is None:
        return {"too_slow": work["limit"]}
    tried = max(1, min(len(work["series"]), int(work["budget"] / first)))
    repetitions = 2 if tried * first <= min(WORTH_REPEATING, work["budget"] / 2) else 1
    jobs = work["jobs"] if tried * first > WORTH_A_POOL else 1
    windows = peer.prepared(work["series"][:tried])
    for _ in range(repetitions):
        cpu, wall = cpu_seconds(), time.perf_counter()
        fitted = peer.fit(windows, min(jobs, tried))
        fit_cpu, fit_wall = cpu_seconds() - cpu, time.perf_counter() - wall
    cpu = cpu_seconds()
    said = rows(fitted, work["horizon"])
    return {
        "tried": tried,
        "repetitions": repetitions,
        "fit_cpu_seconds": fit_cpu,
        "fit_wall_seconds": fit_wall,
        "forecast_cpu_seconds": cpu_seconds() - cpu,
        "peak_mib": peak_mib(),
        "rows": said,
    }


def main():
    die_with_parent()
    os.register_at_fork(after_in_child=die_with_parent)
    with open(sys.argv[1]) as file:
        work = json.load(file)
    print(json.dumps(plain(answer(work))))


main()
