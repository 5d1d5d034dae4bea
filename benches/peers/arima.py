"""statsforecast's AutoARIMA on the series of a JSON file {"season": m, "repetitions": n, "series": [[...]]}.

Prints one JSON object: per series the order it chose, its coefficients, log-likelihood and AICc, or null where
it found none, and the CPU-seconds of the last repetition.
"""

import json
import sys
import time
import warnings

import numpy as np
from statsforecast.models import AutoARIMA


def fit(values, season):
    try:
        return AutoARIMA(season_length=season).fit(values).model_
    except ValueError:
        return None


def row(model):
    if model is None:
        return None
    p, q, seasonal_p, seasonal_q, _, d, seasonal_d = (int(v) for v in model["arma"])
    coefficients = model["coef"]

    def family(name, count):
        return [float(coefficients[f"{name}{i + 1}"]) for i in range(count)]

    return {
        "order": [p, d, q, seasonal_p, seasonal_d, seasonal_q],
        "ar": family("ar", p),
        "ma": family("ma", q),
        "sar": family("sar", seasonal_p),
        "sma": family("sma", seasonal_q),
        # The mean, or the slope of a series that is differenced once; null where there is neither.
        "constant": next((float(coefficients[name]) for name in ("intercept", "drift") if name in coefficients), None),
        "log_likelihood": float(model["loglik"]),
        "aicc": float(model["aicc"]),
    }


def main():
    warnings.simplefilter("ignore")
    with open(sys.argv[1]) as file:
        work = json.load(file)
    series = [np.array(values) for values in work["series"]]
    for _ in range(work["repetitions"]):
        before = time.process_time()
        fits = [fit(values, work["season"]) for values in series]
        seconds = time.process_time() - before
    print(json.dumps({"cpu_seconds": seconds, "fits": [row(model) for model in fits]}))


main()
