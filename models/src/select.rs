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

/// Folds that must judge a candidate, where there are as many.
const MIN_FOLDS: usize = 2;

/// How many of so many folds must judge a candidate: half of them, since it is compared with others that were judged on
/// all.
pub fn least_folds(folds: usize) -> usize {
    folds.div_ceil(2).max(MIN_FOLDS)
}

/// The loss of one candidate over a series' folds, newest first: its mean over the folds with an actual value
/// (`Ok(None)` says nothing).
///
/// A candidate whose history was too short on the oldest folds (`Err`) is judged on the newer ones, of which
/// there must be `least`, or all; its loss is then scaled by how hard `reference` found those folds beside all of them. `None` where it failed on
/// a fold newer than one it could be used on.
pub fn joint_loss(
    folds: &[Result<Option<f64>, ()>],
    reference: &[Result<Option<f64>, ()>],
    least: usize,
) -> Option<f64> {
    let told: Vec<(Result<f64, ()>, Option<f64>)> = folds
        .iter()
        .zip(reference)
        .filter_map(|(own, reference)| Some((own.transpose()?, reference.ok().flatten())))
        .collect();
    let judged = told.iter().take_while(|(own, _)| own.is_ok()).count();
    if judged < least.min(told.len().max(1)) || told[judged..].iter().any(|(own, _)| own.is_ok()) {
        return None;
    }
    let mean = |values: &mut dyn Iterator<Item = f64>| {
        let (count, sum) = values.fold((0_usize, 0.0), |(count, sum), value| (count + 1, sum + value));
        sum / count as f64
    };
    let loss = mean(&mut told[..judged].iter().filter_map(|(own, _)| own.ok()));
    let hardness =
        |told: &[(Result<f64, ()>, Option<f64>)]| mean(&mut told.iter().filter_map(|(_, reference)| *reference));
    let scale = if judged < told.len() { hardness(&told) / hardness(&told[..judged]) } else { 1.0 };
    Some(if scale.is_finite() { scale * loss } else { loss })
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
    fn a_candidate_that_failed_on_a_newer_fold_has_no_loss() {
        let naive = [Ok(Some(1.0)); 3];
        assert_eq!(joint_loss(&[Ok(Some(1.0)), Ok(None), Ok(Some(3.0))], &naive, MIN_FOLDS), Some(2.0));
        assert_eq!(joint_loss(&[Ok(Some(1.0)), Err(()), Ok(Some(3.0))], &naive, MIN_FOLDS), None);
        assert_eq!(joint_loss(&[Err(()), Err(()), Err(())], &naive, MIN_FOLDS), None);
        assert_eq!(joint_loss(&[Ok(None)], &naive, MIN_FOLDS), None);
        assert_eq!(joint_loss(&[], &[], MIN_FOLDS), None);
    }

    #[test]
    fn a_candidate_that_was_too_short_once_is_judged_by_how_hard_its_folds_were() {
        // Half the naive error on the two folds it could be used on, which were the easy ones.
        let naive = [Ok(Some(1.0)), Ok(Some(1.0)), Ok(Some(4.0))];
        assert_eq!(joint_loss(&[Ok(Some(0.5)), Ok(Some(0.5)), Err(())], &naive, MIN_FOLDS), Some(1.0));
        assert_eq!(joint_loss(&[Ok(Some(0.5)), Err(()), Err(())], &naive, MIN_FOLDS), None, "one fold is chance");
        assert_eq!(joint_loss(&[Ok(Some(0.5))], &naive, MIN_FOLDS), Some(0.5), "unless there is no other");
        let perfect = [Ok(Some(0.0)); 3];
        assert_eq!(joint_loss(&[Ok(Some(0.5)), Ok(Some(0.5)), Err(())], &perfect, MIN_FOLDS), Some(0.5));
    }

    #[test]
    fn half_of_the_folds_must_judge() {
        assert_eq!([1, 2, 3, 4, 5, 6].map(least_folds), [2, 2, 2, 2, 3, 3]);
    }

    #[test]
    fn a_loss_skips_what_was_not_observed() {
        assert_eq!(horizon_loss(&[1.0, 2.0, 3.0], &[2.0, f64::NAN, 6.0]), Some(2.0));
        assert_eq!(horizon_loss(&[1.0], &[]), None);
        assert_eq!(horizon_loss(&[f64::NAN], &[1.0]), None);
    }
}
