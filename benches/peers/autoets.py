"""statsforecast's AutoETS on the series of a JSON file {"season": m, "series": [[...]]}.

Prints one JSON object: per series the form that AutoETS chose, its weights and its states before the first step
(the latest slot first, as statsforecast keeps them, all of the season's), and the CPU-seconds of all searches
after one that warms up.
"""

import json
import sys
import time

import numpy as np
from statsforecast.models import AutoETS


def row(fit):
    return {"kind": fit["components"], "par": [float(v) for v in fit["par"]], "aicc": float(fit["aicc"])}


def main():
    with open(sys.argv[1]) as file:
        work = json.load(file)
    series = [np.array(values) for values in work["series"]]
    model = AutoETS(season_length=work["season"], model="ZZZ")
    model.fit(series[0])
    before = time.process_time()
    chosen = [row(model.fit(y).model_) for y in series]
    seconds = time.process_time() - before
    # A weight that a form does not have is NaN, which JSON does not know.
    print(json.dumps({"cpu_seconds": seconds, "fits": chosen}).replace("NaN", "null"))


main()
