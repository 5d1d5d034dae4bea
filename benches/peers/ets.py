"""statsforecast's ETS(A,N,A) on the series of a JSON file {"season": m, "series": [[...]]}.

Prints one JSON object: per series the weights and the states before the first step (the latest slot first,
as statsforecast keeps them, all of the season's), and the CPU-seconds of the second of two repetitions.
"""

import json
import sys
import time

import numpy as np
from statsforecast.models import AutoETS


def main():
    with open(sys.argv[1]) as file:
        work = json.load(file)
    series = [np.array(values) for values in work["series"]]
    for _ in range(2):
        before = time.process_time()
        fits = [AutoETS(season_length=work["season"], model="ANA", damped=False).fit(y).model_ for y in series]
        seconds = time.process_time() - before
    rows = []
    for fit in fits:
        alpha, _, gamma, _ = (float(v) for v in fit["par"][:4])
        states = [float(v) for v in fit["par"][4:]]
        rows.append({"alpha": alpha, "gamma": gamma, "level": states[0], "season": states[1:], "kind": fit["components"]})
    print(json.dumps({"cpu_seconds": seconds, "fits": rows}))


main()
