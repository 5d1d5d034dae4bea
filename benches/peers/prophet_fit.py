"""Fits Prophet with its defaults to every series of a file and prints its parameters.

Usage: prophet_fit.py SERIES.json

SERIES.json is a list of objects: start_ms, step_ms, values (null where unobserved). The last line
printed is one JSON object: `fits`, in the order of the file, each with k, m, delta, beta and sigma_obs on
Prophet's own scale, y_scale, and the scaled times of the changepoints; and `cpu_seconds`, of this
process and of the CmdStan children it waited for, around the fits alone.
"""

import json
import logging
import resource
import sys

import pandas as pd
from prophet import Prophet

logging.getLogger("prophet").setLevel(logging.ERROR)
logging.getLogger("cmdstanpy").disabled = True


def cpu_seconds():
    both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in both)


def frame(series):
    times = [series["start_ms"] + i * series["step_ms"] for i in range(len(series["values"]))]
    return pd.DataFrame({"ds": pd.to_datetime(times, unit="ms"), "y": pd.Series(series["values"], dtype="float64")})


def exported(model):
    flat = {name: model.params[name].reshape(-1).tolist() for name in ("delta", "beta")}
    scalars = {name: float(model.params[name].reshape(-1)[0]) for name in ("k", "m", "sigma_obs")}
    return {**flat, **scalars, "y_scale": model.y_scale, "changepoints": model.changepoints_t.tolist()}


def main():
    with open(sys.argv[1]) as file:
        frames = [frame(series) for series in json.load(file)]
    Prophet().fit(frames[0])  # a warm-up: imports and the first run of CmdStan
    before = cpu_seconds()
    models = [Prophet().fit(one) for one in frames]
    spent = cpu_seconds() - before
    print(json.dumps({"fits": [exported(model) for model in models], "cpu_seconds": spent}))


main()
