"""statsforecast's AutoETS on the series of a JSON file {"season": m, "series": [[...]]}.

Prints one JSON object: per series every form's weights, its states before the first step (the latest slot
first, as statsforecast keeps them, all of the season's) and its AICc, the form that AutoETS chose, and the
CPU-seconds of the second of two repetitions of its whole search.
"""

import json
import sys
import time

import numpy as np
from statsforecast.models import AutoETS

TRENDS = [("N", False), ("A", False), ("A", True)]
EFFECTS = [("A", "N"), ("M", "N"), ("A", "A"), ("M", "A"), ("M", "M")]


def row(fit):
    return {"kind": fit["components"], "par": [float(v) for v in fit["par"]], "aicc": float(fit["aicc"])}


def forms(y, season):
    rows = []
    for error, seasonal in EFFECTS:
        for trend, damped in TRENDS:
            if error == "M" and y.min() <= 0:
                continue
            model = AutoETS(season_length=season, model=error + trend + seasonal, damped=damped)
            rows.append(row(model.fit(y).model_))
    return rows


def main():
    with open(sys.argv[1]) as file:
        work = json.load(file)
    series = [np.array(values) for values in work["series"]]
    for _ in range(2):
        before = time.process_time()
        chosen = [AutoETS(season_length=work["season"]).fit(y).model_ for y in series]
        seconds = time.process_time() - before
    fits = [{"chosen": row(fit), "forms": forms(y, work["season"])} for fit, y in zip(chosen, series)]
    # A criterion may be infinite, which JSON does not know.
    text = json.dumps({"cpu_seconds": seconds, "fits": fits}, allow_nan=True)
    print(text.replace("NaN", "null").replace("-Infinity", "null").replace("Infinity", "null"))


main()
