"""statsforecast's MSTL on the series of a JSON file {"seasons": [m, ...], "series": [[...]]}.

Prints one JSON object: per series each season's last cycle, and the CPU-seconds of the second of two
repetitions of all fits.
"""

import json
import sys
import time

import numpy as np
from statsforecast.models import MSTL


def last_cycle(parts, season, seasons):
    name = "seasonal" if len(seasons) == 1 else f"seasonal{season}"
    return [float(v) for v in parts[name].values[-season:]]


def main():
    with open(sys.argv[1]) as file:
        work = json.load(file)
    seasons = sorted(work["seasons"])
    series = [np.array(values) for values in work["series"]]
    for _ in range(2):
        before = time.process_time()
        fits = [MSTL(season_length=seasons).fit(y) for y in series]
        seconds = time.process_time() - before
    rows = []
    for fit in fits:
        cycles = [last_cycle(fit.model_, season, seasons) for season in seasons]
        rows.append({"cycles": cycles})
    print(json.dumps({"cpu_seconds": seconds, "fits": rows}))


main()
