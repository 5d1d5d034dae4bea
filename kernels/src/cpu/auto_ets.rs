//! Every ETS form by [`ets_fit`], one after the other.

use super::ets_fit::ets_fit;
use crate::auto_ets::{EtsChoice, EtsEnd};
use crate::{EtsForm, Lanes, aicc};

/// See [`crate::auto_ets()`].
pub(crate) fn auto_ets(y: &Lanes, forms: &[EtsForm]) -> EtsChoice {
    let columns: Vec<Vec<f64>> = (0..y.series()).map(|s| y.column(s).into_iter().map(f64::from).collect()).collect();
    let units: Vec<(f64, f64)> = columns.iter().map(|values| unit(values)).collect();
    let mut chosen: Vec<Option<EtsEnd>> = vec![None; y.series()];
    for &form in forms {
        let suited: Vec<usize> = (0..y.series()).filter(|&s| suits(form, &columns[s], units[s])).collect();
        let standard = |t: usize, i: usize| {
            let (centre, scale) = units[suited[i]];
            ((columns[suited[i]][t] - centre) / scale) as f32
        };
        let offset: Vec<f64> = suited.iter().map(|&s| units[s].0 / units[s].1).collect();
        let fit = ets_fit(&Lanes::from_fn(y.steps(), suited.len(), standard), &offset, form, &[]);
        for (i, &s) in suited.iter().enumerate() {
            let observed = columns[s].iter().filter(|v| !v.is_nan()).count() as f64;
            let aicc = fit.deviance[i] + aicc(0.0, observed, form.unknowns() + 1);
            let better = aicc < chosen[s].as_ref().map_or(f64::INFINITY, |before| before.aicc);
            if better {
                let start = fit.start[i * form.start_len()..][..form.start_len()].to_vec();
                chosen[s] = Some(EtsEnd {
                    form,
                    aicc,
                    settled: fit.converged[i],
                    smoothing: form.weights(fit.smoothing[i]),
                    start,
                });
            }
        }
    }
    EtsChoice { chosen, units }
}

fn unit(values: &[f64]) -> (f64, f64) {
    let seen = || values.iter().filter(|v| !v.is_nan());
    let observed = seen().count() as f64;
    let centre = seen().sum::<f64>() / observed;
    (centre, (seen().map(|v| (v - centre) * (v - centre)).sum::<f64>() / observed).sqrt())
}

fn suits(form: EtsForm, values: &[f64], (_, scale): (f64, f64)) -> bool {
    let season = form.season;
    let seen = values.iter().filter(|v| !v.is_nan()).count();
    let every_slot = (0..season).all(|slot| values.iter().skip(slot).step_by(season).any(|v| !v.is_nan()));
    let positive = !form.is_relative() || values.iter().all(|v| v.is_nan() || *v > 0.0);
    scale.is_normal() && seen >= (2 * season).max(form.unknowns() + 3) && every_slot && positive
}
