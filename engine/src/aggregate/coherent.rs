//! Where forecasts of aggregates and their parts lie, brought together step by step and made to agree.

use std::collections::{HashMap, HashSet};

use foreshadow_models::reconcile::{self, Aggregate, ReconcileError};
use foreshadow_models::{Forecast, Horizon, Window};

use super::Whole;
use crate::config::Function;

/// Why forecasts that share no step are left as they are.
const FAR_APART: &str = "its parts end too far apart";

/// What was said of a panel's series at a cutoff of each.
#[derive(Debug)]
pub struct Said<'a> {
    /// What could be seen then.
    pub window: Window<'a>,
    /// What was forecast; all panels' have one horizon and the same quantiles.
    pub forecast: &'a mut Forecast,
    /// Whether each series has a forecast.
    pub usable: Vec<bool>,
}

/// An aggregate whose forecast was left as it was made, without regard to its parts'.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{series} is forecast without regard to its parts: {reason}")]
pub struct Apart {
    /// Its identity.
    pub series: String,
    /// Why, as one clause.
    pub reason: String,
}

/// Where a series stands: its panel and its place there.
type Place = (usize, usize);

/// An aggregate with a forecast, and the forecasts of its parts.
struct Located<'a> {
    whole: &'a Whole,
    place: Place,
    parts: Vec<Place>,
}

/// Makes the forecasts of aggregates and of their parts agree at every step that they have in common: a sum's mean is
/// the sum of its parts' ([`reconcile::sums`]), a maximum's mean and quantiles are nowhere under those of a part
/// ([`reconcile::maxima`]). A series that never was negative, and was not forecast to be, stays so. Returns what was
/// left as it was: a sum of which a part has no forecast is the sum of something else.
pub fn reconcile(wholes: &[Whole], said: &mut [Said<'_>]) -> Vec<Apart> {
    let mut apart = Vec::new();
    let (mut sums, mut maxima) = (Vec::new(), Vec::new());
    for located in located(wholes, said) {
        match located {
            Err(left) => apart.push(left),
            Ok(located) if located.whole.function == Function::Sum => sums.push(located),
            Ok(located) => maxima.push(located),
        }
    }
    for group in grouped(sums) {
        let together = Together::of(&group, said);
        let bounds: Vec<(f64, f64)> = together.members.iter().map(|place| bounds(&said[place.0], place.1)).collect();
        let told = together.forecast(said).ok_or(FAR_APART.to_string()).and_then(|(first, own)| {
            let spreads = reconcile::spreads(&own);
            let to = reconcile::sums(&own, &together.aggregates, &spreads, &bounds);
            let to = to.map_err(|error: ReconcileError| error.to_string())?;
            together.put(said, first, &to);
            Ok(())
        });
        if let Err(reason) = told {
            let left = |sum: &Located<'_>| Apart { series: sum.whole.series.clone(), reason: reason.clone() };
            apart.extend(group.iter().map(left));
        }
    }
    for maximum in maxima {
        let together = Together::of(std::slice::from_ref(&maximum), said);
        match together.forecast(said) {
            Some((first, own)) => together.put(said, first, &reconcile::maxima(&own, &together.aggregates)),
            None => apart.push(Apart { series: maximum.whole.series.clone(), reason: FAR_APART.into() }),
        }
    }
    apart
}

/// The aggregates that have a forecast. A maximum does without the parts that have none; a sum cannot.
fn located<'a>(wholes: &'a [Whole], said: &[Said<'_>]) -> Vec<Result<Located<'a>, Apart>> {
    let wanted: HashSet<&str> =
        wholes.iter().flat_map(|whole| whole.parts.iter().chain([&whole.series])).map(String::as_str).collect();
    let mut places: HashMap<&str, Place> = HashMap::new();
    for (panel, said) in said.iter().enumerate() {
        let usable = (0..said.window.series_count()).filter(|s| said.usable[*s]);
        let names = usable.map(|s| (said.window.name(s), (panel, s)));
        places.extend(names.filter(|(name, _)| wanted.contains(name)));
    }
    let locate = |whole: &'a Whole| {
        let place = *places.get(whole.series.as_str())?;
        let parts: Vec<Place> = whole.parts.iter().filter_map(|part| places.get(part.as_str()).copied()).collect();
        let lost = whole.parts.iter().find(|part| !places.contains_key(part.as_str()));
        Some(match lost.filter(|_| whole.function == Function::Sum) {
            Some(part) => {
                Err(Apart { series: whole.series.clone(), reason: format!("its part {part} has no forecast") })
            }
            None => Ok(Located { whole, place, parts }),
        })
    };
    wholes.iter().filter_map(locate).collect()
}

/// Sums with those that they share parts with.
fn grouped(sums: Vec<Located<'_>>) -> Vec<Vec<Located<'_>>> {
    let mut numbers: HashMap<Place, usize> = HashMap::new();
    let mut number = |place: &Place| {
        let next = numbers.len();
        *numbers.entry(*place).or_insert(next)
    };
    let aggregate = |sum: &Located<'_>| Aggregate {
        series: number(&sum.place),
        parts: sum.parts.iter().map(&mut number).collect(),
    };
    let aggregates: Vec<Aggregate> = sums.iter().map(aggregate).collect();
    let mut sums: Vec<Option<Located<'_>>> = sums.into_iter().map(Some).collect();
    let mut take = |at: usize| sums[at].take().expect("a sum lies in one group");
    reconcile::connected(&aggregates).into_iter().map(|group| group.into_iter().map(&mut take).collect()).collect()
}

/// The least and the most of a series: as declared, and zero below one that never was negative.
fn bounds(said: &Said<'_>, series: usize) -> (f64, f64) {
    let mut curves = (0..said.forecast.quantiles().levels().len()).map(|index| said.forecast.quantile(series, index));
    let sound = |values: &[f64]| values.iter().all(|y| y.is_nan() || *y >= 0.0);
    let forecast = sound(said.forecast.mean(series)) && curves.all(sound);
    let declared = said.window.bounds(series);
    let never_negative = declared.low() == f64::NEG_INFINITY && forecast && sound(said.window.values(series));
    (if never_negative { 0.0 } else { declared.low() }, declared.high())
}

/// Series of several panels as those of one forecast.
struct Together {
    members: Vec<Place>,
    /// Where each member's forecast starts, on the grid.
    firsts: Vec<i64>,
    /// By their place among the members.
    aggregates: Vec<Aggregate>,
}

impl Together {
    fn of(group: &[Located<'_>], said: &[Said<'_>]) -> Self {
        let mut members: Vec<Place> = Vec::new();
        let mut numbers: HashMap<Place, usize> = HashMap::new();
        let mut number = |place: &Place| {
            *numbers.entry(*place).or_insert_with(|| {
                members.push(*place);
                members.len() - 1
            })
        };
        let aggregate = |located: &Located<'_>| Aggregate {
            series: number(&located.place),
            parts: located.parts.iter().map(&mut number).collect(),
        };
        let aggregates = group.iter().map(aggregate).collect();
        let first = |(panel, series): &Place| {
            let window = &said[*panel].window;
            window.end_ms(*series).div_euclid(window.step_ms())
        };
        Self { firsts: members.iter().map(first).collect(), members, aggregates }
    }

    /// The first step that all members have a forecast of, on the grid, and those forecasts from there on; `None` where
    /// there is no such step.
    fn forecast(&self, said: &[Said<'_>]) -> Option<(i64, Forecast)> {
        let like = &said[self.members.first()?.0].forecast;
        let (first, oldest) = (*self.firsts.iter().max()?, *self.firsts.iter().min()?);
        let common = like.horizon().steps().checked_sub(usize::try_from(first - oldest).ok()?)?;
        let mut own = Forecast::empty(self.members.len(), Horizon::new(common)?, like.quantiles().clone());
        for (member, ((panel, series), start)) in self.members.iter().zip(&self.firsts).enumerate() {
            let (from, ahead) = (&said[*panel].forecast, (first - start) as usize);
            own.mean_mut(member).copy_from_slice(&from.mean(*series)[ahead..][..common]);
            for index in 0..from.quantiles().levels().len() {
                own.quantile_mut(member, index).copy_from_slice(&from.quantile(*series, index)[ahead..][..common]);
            }
        }
        Some((first, own))
    }

    /// Gives every member what was made of its forecast.
    fn put(&self, said: &mut [Said<'_>], first: i64, own: &Forecast) {
        let common = own.horizon().steps();
        for (member, ((panel, series), start)) in self.members.iter().zip(&self.firsts).enumerate() {
            let (to, ahead) = (&mut *said[*panel].forecast, (first - start) as usize);
            to.mean_mut(*series)[ahead..][..common].copy_from_slice(own.mean(member));
            for index in 0..own.quantiles().levels().len() {
                to.quantile_mut(*series, index)[ahead..][..common].copy_from_slice(own.quantile(member, index));
            }
        }
    }
}

#[cfg(test)]
mod tests;
