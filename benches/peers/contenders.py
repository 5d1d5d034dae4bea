"""The peers by name, each called as its own documentation advises for many series.

A contender's `fit` takes all windows at once and returns, per window, a fitted model or the exception that it ended with;
a fitted model has `forecast(h)`, the mean and the 95 % band of the h steps ahead, and `exported()`, its parameters as JSON
knows them.
"""

import contextlib
import functools
import importlib
import logging
import multiprocessing
import sys
import warnings

import numpy as np

def contender(name, work):
    """The contender of a name, imports done."""
    warnings.simplefilter("ignore")
    others = {
        "prophet": LoopedProphet,
        "pmdarima": LoopedPmdarima,
        "flaircast": LoopedFlair,
        "sarimax": LoopedSarimax,
    }
    return others[name](work) if name in others else Statsforecast(name, work)


def filled(values):
    """A window whose gaps are straight lines: none of these peers but Prophet takes a gap as one."""
    values = np.array(values, dtype=float)
    gap = np.isnan(values)
    if gap.any() and not gap.all():
        values[gap] = np.interp(np.flatnonzero(gap), np.flatnonzero(~gap), values[~gap])
    return values


class Statsforecast:
    """`StatsForecast(models=[...], n_jobs=...).fit` of a long table."""

    def __init__(self, name, work):
        from statsforecast import StatsForecast, models

        season = work["season"]
        model, self.exporter = {
            "snaive": (lambda: models.SeasonalNaive(season_length=season), nothing),
            "ets": (lambda: models.AutoETS(season_length=season, model="ANA", damped=False), exported_ets),
            "autoets": (lambda: models.AutoETS(season_length=season, model="ZZZ"), exported_ets),
            "theta": (lambda: models.DynamicOptimizedTheta(season_length=season), exported_theta),
            "mstl": (lambda: models.MSTL(season_length=sorted(work["seasons"])), exported_mstl(sorted(work["seasons"]))),
            "autoarima": (lambda: models.AutoARIMA(season_length=1), exported_arima),
            "sarima": (lambda: models.AutoARIMA(season_length=season), exported_arima),
            "ces": (lambda: models.AutoCES(season_length=season), nothing),
        }[name]
        self.batch = functools.partial(StatsForecast, models=[model()], freq=1, fallback_model=Failed())

    def prepared(self, series):
        import pandas as pd

        windows = [filled(one["values"]) for one in series]
        lengths = [len(values) for values in windows]
        ids, times = np.repeat(np.arange(len(windows)), lengths), np.concatenate([np.arange(n) for n in lengths])
        return pd.DataFrame({"unique_id": ids, "ds": times, "y": np.concatenate(windows)})

    def fit(self, table, jobs):
        fitted = self.batch(n_jobs=jobs).fit(table).fitted_[:, 0]
        failed = (RuntimeError(one.reason) if isinstance(one, Failed) else None for one in fitted)
        return [error or Banded(one, self.exporter) for one, error in zip(fitted, failed)]


class Failed:
    """Stands in for a model that raised, and keeps why: StatsForecast calls it from its handler."""

    alias = "Failed"
    prediction_intervals = None
    uses_exog = False
    reason = ""

    def new(self):
        return Failed()

    def fit(self, y, X=None):
        error = sys.exc_info()[1]
        self.reason = f"{type(error).__name__}: {error}"
        return self


class Banded:
    def __init__(self, model, exporter):
        self.model, self.exporter = model, exporter

    def forecast(self, h):
        said = self.model.predict(h=h, level=[95])
        return said["mean"], said.get("lo-95", said.get("lo")), said.get("hi-95", said.get("hi"))

    def exported(self):
        return self.exporter(self.model.model_)


def nothing(_):
    return None


def exported_ets(fit):
    """The form, its weights and its states before the first step: the latest slot first, as statsforecast keeps them."""
    return {"kind": fit["components"], "par": [float(v) for v in fit["par"]]}


def exported_theta(fit):
    """The level before the first step, alpha and theta, and how the season was taken out, null for not at all."""
    par = fit["par"]
    return {
        "level": float(par["initial_smoothed"]),
        "alpha": float(par["alpha"]),
        "theta": float(par["theta"]),
        "season": fit["decomposition_type"] if fit.get("decompose", False) else None,
    }


def exported_mstl(seasons):
    """The last cycle of each season that was told."""

    def exported(parts):
        names = ["seasonal"] if len(seasons) == 1 else [f"seasonal{season}" for season in seasons]
        told = [(name, season) for name, season in zip(names, seasons) if name in parts]
        return {"cycles": [[float(v) for v in parts[name].values[-season:]] for name, season in told]}

    return exported


def exported_arima(model):
    """The order as [p, d, q, P, D, Q] and its coefficients."""
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
    }


class Looped:
    """A peer without a call for many series: one after another, in as many processes as are allowed."""

    package = None

    def __init__(self, work):
        self.work = work
        importlib.import_module(self.package)  # once, not in each process

    def prepared(self, series):
        return [filled(one["values"]) for one in series]

    def fit(self, windows, jobs):
        if jobs == 1 or len(windows) == 1:
            return [self.attempt(window) for window in windows]
        with multiprocessing.Pool(min(jobs, len(windows))) as pool:
            fitted = pool.map(self.attempt, windows)
            pool.close()
            pool.join()
        return fitted

    def attempt(self, window):
        try:
            return self.one(window)
        except Exception as error:  # a failure is a figure of its own
            return RuntimeError(f"{type(error).__name__}: {error}")


class LoopedProphet(Looped):
    package = "prophet"

    def prepared(self, series):
        import pandas as pd

        logging.getLogger("prophet").setLevel(logging.ERROR)
        logging.getLogger("cmdstanpy").disabled = True

        def frame(one):
            times = [one["start_ms"] + i * self.work["step_ms"] for i in range(len(one["values"]))]
            return pd.DataFrame({"ds": pd.to_datetime(times, unit="ms"), "y": pd.Series(one["values"], dtype="float64")})

        return [frame(one) for one in series]

    def one(self, window):
        from prophet import Prophet

        return FittedProphet(Prophet(interval_width=0.95).fit(window), window["ds"].iloc[-1], self.work["step_ms"])


class FittedProphet:
    def __init__(self, model, last, step_ms):
        self.model, self.last, self.step_ms = model, last, step_ms

    def forecast(self, h):
        import pandas as pd

        np.random.seed(0)  # its band is drawn from numpy's own generator
        times = [self.last + pd.Timedelta(milliseconds=(i + 1) * self.step_ms) for i in range(h)]
        said = self.model.predict(pd.DataFrame({"ds": times}))
        return said["yhat"].values, said["yhat_lower"].values, said["yhat_upper"].values

    def exported(self):
        """Parameters on Prophet's own scale, and the scaled times of its changepoints."""
        model = self.model
        flat = {name: model.params[name].reshape(-1).tolist() for name in ("delta", "beta")}
        scalars = {name: float(model.params[name].reshape(-1)[0]) for name in ("k", "m", "sigma_obs")}
        return {**flat, **scalars, "y_scale": float(model.y_scale), "changepoints": model.changepoints_t.tolist()}


class LoopedPmdarima(Looped):
    """`auto_arima` without a season: with one it takes minutes a series."""

    package = "pmdarima"

    def one(self, window):
        import pmdarima

        return FittedPmdarima(pmdarima.auto_arima(window, seasonal=False, error_action="ignore", suppress_warnings=True))


class FittedPmdarima:
    def __init__(self, model):
        self.model = model

    def forecast(self, h):
        mean, band = self.model.predict(n_periods=h, return_conf_int=True, alpha=0.05)
        return mean, band[:, 0], band[:, 1]

    def exported(self):
        p, d, q = (int(v) for v in self.model.order)
        by_name = dict(zip(self.model.arima_res_.param_names, (float(v) for v in self.model.params())))
        ar = [by_name[f"ar.L{i + 1}"] for i in range(p)]
        # statsmodels gives the constant of the recursion; the mean, or the slope once differenced, is that over 1 - sum(ar).
        constant = by_name["intercept"] / (1.0 - sum(ar)) if "intercept" in by_name else None
        if constant is not None and d > 1:
            return None
        ma = [by_name[f"ma.L{i + 1}"] for i in range(q)]
        return {"order": [p, d, q, 0, 0, 0], "ar": ar, "ma": ma, "sar": [], "sma": [], "constant": constant}


class LoopedSarimax(Looped):
    """statsmodels' `SARIMAX` of a given order on given waves: the exact likelihood of the differenced series, as ours is."""

    package = "statsmodels.tsa.statespace.sarimax"

    def prepared(self, series):
        return [(filled(one["values"]), one["model"]) for one in series]

    def one(self, window):
        from statsmodels.tsa.statespace.sarimax import SARIMAX

        values, model = window
        p, d, q = model["order"]
        scale = values.std() or 1.0
        y, x = (values - values.mean()) / scale, columns(model["waves"], np.arange(len(values)))
        y, x = np.diff(y, d), np.diff(x, d, axis=0)
        waves = x if x.size else None
        fitted = SARIMAX(y, exog=waves, order=(p, 0, q), trend="c" if model["constant"] else "n").fit(disp=0, maxiter=500)
        return FittedSarimax(fitted, model, values, scale)


def columns(waves, steps):
    """Sine and cosine of each wave, as [steps, columns]; one of two steps has no sine."""
    pairs = []
    for season, turns in waves:
        angle = 2.0 * np.pi * ((turns * steps) % season) / season
        pairs += [np.cos(angle)] if 2 * turns == season else [np.sin(angle), np.cos(angle)]
    return np.array(pairs).T.reshape(len(steps), len(pairs))


class FittedSarimax:
    def __init__(self, fitted, model, values, scale):
        self.fitted, self.model, self.values, self.scale = fitted, model, values, scale

    def forecast(self, h):
        d, n = self.model["order"][1], len(self.values)
        x = np.diff(columns(self.model["waves"], np.arange(n - d, n + h)), d, axis=0)
        mean = self.fitted.get_forecast(h, exog=x if x.size else None).predicted_mean
        weights = np.ravel(self.fitted.impulse_responses(h - 1))
        for order in reversed(range(d)):
            past = np.diff((self.values - self.values.mean()) / self.scale, order)
            mean, weights = past[-1] + np.cumsum(mean), np.cumsum(weights)
        spread = np.sqrt(self.fitted.params[-1] * np.cumsum(weights**2))
        mean = self.values.mean() + self.scale * mean
        return mean, mean - 1.96 * self.scale * spread, mean + 1.96 * self.scale * spread

    def exported(self):
        """Coefficients in the series' unit; the constant is the mean of the differenced series."""
        by_name = dict(zip(self.fitted.param_names, (float(v) for v in self.fitted.params)))
        p, d, q = self.model["order"]
        ar = [by_name[f"ar.L{i + 1}"] for i in range(p)]
        constant = None
        if "intercept" in by_name:
            # statsmodels gives the constant of the recursion.
            constant = by_name["intercept"] / (1.0 - sum(ar)) * self.scale + (float(self.values.mean()) if d == 0 else 0.0)
        rest = iter(by_name[f"x{i + 1}"] * self.scale for i in range(sum(name.startswith("x") for name in by_name)))
        waves = [[0.0 if 2 * turns == season else next(rest), next(rest)] for season, turns in self.model["waves"]]
        ma = [by_name[f"ma.L{i + 1}"] for i in range(q)]
        return {"ar": ar, "ma": ma, "constant": constant, "waves": waves}


class LoopedFlair(Looped):
    """Its one call learns and draws: all of it counts as the fit."""

    package = "flaircast"
    STEPS = {1_000: "S", 10_000: "10S", 3_600_000: "H", 86_400_000: "D", 604_800_000: "W"}

    def one(self, window):
        from flaircast import forecast

        step_ms = self.work["step_ms"]
        freq = self.STEPS.get(step_ms)
        if freq is None:
            minutes, rest = divmod(step_ms, 60_000)
            if rest or not minutes:
                raise ValueError(f"no frequency is named for a step of {step_ms} ms")
            freq = "T" if minutes == 1 else f"{minutes}T"
        with contextlib.redirect_stdout(sys.stderr):
            return Paths(forecast(window, horizon=self.work["horizon"] or self.work["season"], freq=freq, seed=0))


class Paths:
    def __init__(self, samples):
        self.samples = samples

    def forecast(self, _):
        low, high = np.percentile(self.samples, [2.5, 97.5], axis=0)
        return self.samples.mean(axis=0), low, high

    def exported(self):
        return None
