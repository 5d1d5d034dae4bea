"""Forecasts of a statsforecast family for a JSON file {"family": name, "horizon": h, "series": [[...]]}.

Prints one JSON object: per series the mean of the h steps ahead, null where the family failed.
"""

import json
import sys

import numpy as np
from statsforecast import models

FAMILIES = {
    "ets": lambda: models.AutoETS(season_length=24, model="ANA"),
    "autoets": lambda: models.AutoETS(season_length=24),
    "theta": lambda: models.DynamicOptimizedTheta(season_length=24),
    "mstl": lambda: models.MSTL(season_length=[24, 168]),
}


def mean(family, values, horizon):
    try:
        return [float(v) for v in FAMILIES[family]().forecast(y=np.array(values, dtype=float), h=horizon)["mean"]]
    except Exception as error:  # a family's failure is a figure of its own
        print(f"{family}: {error}", file=sys.stderr)
        return None


def main():
    with open(sys.argv[1]) as file:
        work = json.load(file)
    print(json.dumps({"means": [mean(work["family"], values, work["horizon"]) for values in work["series"]]}))


main()
