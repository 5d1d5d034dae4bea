"""statsforecast's dynamic optimised theta model on the series of a JSON file {"season": m, "series": [[...]]}.

Prints one JSON object: per series the level before the first step, alpha and theta, how its season was taken
out ("multiplicative", "additive" or null), and the CPU-seconds of the second of two repetitions.
"""

import json
import sys
import time

import numpy as np
from statsforecast.models import DynamicOptimizedTheta


def main():
    with open(sys.argv[1]) as file:
        work = json.load(file)
    series = [np.array(values, dtype=float) for values in work["series"]]
    for _ in range(2):
        before = time.process_time()
        fits = [DynamicOptimizedTheta(season_length=work["season"]).fit(y).model_ for y in series]
        seconds = time.process_time() - before
    rows = []
    for fit in fits:
        par = fit["par"]
        rows.append(
            {
                "level": float(par["initial_smoothed"]),
                "alpha": float(par["alpha"]),
                "theta": float(par["theta"]),
                "season": fit["decomposition_type"] if fit.get("decompose", False) else None,
            }
        )
    print(json.dumps({"cpu_seconds": seconds, "fits": rows}))


main()
