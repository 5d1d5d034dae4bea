//! Which family to trust for a series: the smallest horizon loss on the picking folds.
//!
//! Source: Tashman, *Out-of-sample tests of forecasting accuracy*, Int. J. Forecasting 16(4), 2000.

/// How much smaller the loss of a later candidate must be: at near equality the simpler one stays.
const MIN_GAIN: f64 = 0.01;

/// Mean absolute error over the horizon, over the steps observed; `None` where none was.
///
/// It is twice the pinball loss of the median, the quantile that intervals are built around.
pub fn horizon_loss(mean: &[f64], actual: &[f64]) -> Option<f64> {
    let errors = mean.iter().zip(actual).filter(|(_, y)| !y.is_nan()).map(|(f, y)| (y - f).abs());
    let (count, sum) = errors.fold((0_usize, 0.0), |(n, sum), error| (n + 1, sum + error));
    let loss = sum / count as f64;
    (count > 0 && loss.is_finite()).then_some(loss)
}

/// The loss of one candidate over a series' folds: their mean where it could be used on every fold that
/// has an actual value, `None` where it failed on one. Folds without one (`Ok(None)`) say nothing.
pub fn joint_loss(folds: impl Iterator<Item = Result<Option<f64>, ()>>) -> Option<f64> {
    let losses = folds.filter_map(Result::transpose).collect::<Result<Vec<f64>, ()>>().ok()?;
    (!losses.is_empty()).then(|| losses.iter().sum::<f64>() / losses.len() as f64)
}

/// The candidate of the smallest loss. Candidates stand from simple to complex, and a later one must win
/// by [`MIN_GAIN`]; one without a loss is never picked.
pub fn champion(losses: &[Option<f64>]) -> Option<usize> {
    let mut best: Option<(usize, f64)> = None;
    for (candidate, loss) in losses.iter().enumerate() {
        if let Some(loss) = *loss
            && best.is_none_or(|(_, smallest)| loss < smallest * (1.0 - MIN_GAIN))
        {
            best = Some((candidate, loss));
        }
    }
    best.map(|(candidate, _)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_loss_wins_and_near_equality_keeps_the_simpler() {
        assert_eq!(champion(&[Some(1.0), Some(0.995), Some(0.5)]), Some(2));
        assert_eq!(champion(&[Some(1.0), Some(0.995), None]), Some(0));
        assert_eq!(champion(&[Some(0.0), Some(0.0)]), Some(0));
        assert_eq!(champion(&[None, None]), None);
    }

    #[test]
    fn a_candidate_that_failed_on_one_fold_has_no_loss() {
        assert_eq!(joint_loss([Ok(Some(1.0)), Ok(None), Ok(Some(3.0))].into_iter()), Some(2.0));
        assert_eq!(joint_loss([Ok(Some(1.0)), Err(())].into_iter()), None);
        assert_eq!(joint_loss([Ok(None)].into_iter()), None);
    }

    #[test]
    fn a_loss_skips_what_was_not_observed() {
        assert_eq!(horizon_loss(&[1.0, 2.0, 3.0], &[2.0, f64::NAN, 6.0]), Some(2.0));
        assert_eq!(horizon_loss(&[1.0], &[]), None);
        assert_eq!(horizon_loss(&[f64::NAN], &[1.0]), None);
    }
}
