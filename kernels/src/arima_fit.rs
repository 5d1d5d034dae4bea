//! ARIMA by maximum likelihood: many orders screened at once, the best of them fitted exactly.

use crate::error::expect_len;
use crate::{ArmaOrder, Batch, KernelError, cpu, gpu};

mod ladder;
pub(crate) mod limits;

pub(crate) use ladder::Ladder;

/// The most coefficients that one polynomial may have.
pub const MAX_BLOCK: usize = 12;

/// One series and how it is made stationary.
#[derive(Clone, Copy, Debug)]
pub struct ArimaSeries<'a> {
    /// Its steps, standardised, from the first observed one on; NaN where unobserved.
    pub values: &'a [f64],
    /// Differences at a lag of one step.
    pub differences: usize,
    /// Differences at a lag of one season.
    pub seasonal_differences: usize,
    /// Steps in a season; 1 for none.
    pub season: usize,
}

impl ArimaSeries<'_> {
    /// Whether a model may have a constant: the mean of a series, or the slope of one differenced once.
    pub fn may_have_constant(&self) -> bool {
        self.differences + self.seasonal_differences < 2
    }

    /// Steps that differencing takes away.
    pub fn lost_steps(&self) -> usize {
        self.differences + self.season * self.seasonal_differences
    }

    /// Weights of the steps before in the sum that differencing subtracts, the latest first.
    pub fn carried(&self) -> Vec<f64> {
        let mut product = vec![1.0];
        let lags =
            std::iter::repeat_n(1, self.differences).chain(std::iter::repeat_n(self.season, self.seasonal_differences));
        for lag in lags {
            let before = product.clone();
            product.resize(before.len() + lag, 0.0);
            before.iter().enumerate().for_each(|(i, c)| product[i + lag] -= c);
        }
        product[1..].iter().map(|c| -c).collect()
    }

    /// What the series would be at a step if every difference were one.
    pub(crate) fn constant_column(&self, step: f64) -> f64 {
        match (self.differences, self.seasonal_differences) {
            (0, 0) => 1.0,
            (1, 0) => step,
            (0, 1) => step / self.season as f64,
            _ => 0.0,
        }
    }
}

/// How the series of a batch are made stationary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Differencing {
    /// Differences at a lag of one step.
    pub differences: usize,
    /// Differences at a lag of one season.
    pub seasonal_differences: usize,
    /// Steps in a season; 1 for none.
    pub season: usize,
}

impl Differencing {
    /// A series of the batch.
    pub fn of(self, values: &[f64]) -> ArimaSeries<'_> {
        let Self { differences, seasonal_differences, season } = self;
        ArimaSeries { values, differences, seasonal_differences, season }
    }

    fn expect_season(self) -> Result<(), KernelError> {
        expect_len("season of the differences", self.season, self.season.max(1))
    }
}

/// A model of a screen.
#[derive(Clone, Debug, PartialEq)]
pub struct ArimaCandidate {
    /// Its order.
    pub order: ArmaOrder,
    /// How far from the unit circle the roots of each polynomial of two or more coefficients are held, in modulus.
    pub margin: f64,
    /// Whether it has a constant.
    pub constant: bool,
    /// Akaike's criterion, corrected for small samples, of the exact likelihood at the screen's coefficients; of the
    /// screen's sum of squares where that is far from the best.
    pub aicc: f64,
    /// Where an exact search begins: one number a coefficient, free of bounds.
    pub free: Vec<f64>,
}

/// How far a search for the likelihood's top goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ArimaEffort {
    /// One look at where it begins, for what it promises.
    Glance,
    /// Until a step promises under a hundredth of a nat, enough to be compared.
    Rank,
    /// Until a step promises under 2e-5 nats.
    Full,
}

impl ArimaEffort {
    /// Places that a search looks at, at most.
    pub(crate) fn most_looks(self) -> usize {
        if self == Self::Glance { 1 } else { limits::search::MAX_ROUNDS }
    }

    /// Nats that a settled search may still be promised.
    pub(crate) fn settled(self) -> f64 {
        match self {
            Self::Glance => 0.0,
            Self::Rank => 1e-2,
            Self::Full => 2e-5,
        }
    }
}

/// A model fitted exactly.
#[derive(Clone, Debug, PartialEq)]
pub struct ArimaFit {
    /// Its order.
    pub order: ArmaOrder,
    /// The candidate's.
    pub margin: f64,
    /// φ, Φ, θ, Θ, one after the other.
    pub coefficients: Vec<f64>,
    /// Where the search ended: one number a coefficient, free of bounds.
    pub free: Vec<f64>,
    /// The mean of the differenced series; `None` without one.
    pub constant: Option<f64>,
    /// The likelihood there, and what a forecast starts from.
    pub likelihood: ArimaLikelihood,
    /// Akaike's criterion, corrected for small samples.
    pub aicc: f64,
    /// False where a cap on evaluations was hit before the likelihood settled.
    pub converged: bool,
    /// Nats by which the likelihood may still rise.
    pub promised: f64,
    /// Places that the search looked at.
    pub evaluations: usize,
}

impl ArimaFit {
    /// A candidate that begins where this search ended, its criterion what the likelihood's top promises.
    pub fn candidate(&self) -> ArimaCandidate {
        let aicc = self.aicc - 2.0 * self.promised;
        let constant = self.constant.is_some();
        ArimaCandidate { order: self.order, margin: self.margin, constant, aicc, free: self.free.clone() }
    }
}

/// The exact Gaussian likelihood of a series and the state that it ends in.
#[derive(Clone, Debug, PartialEq)]
pub struct ArimaLikelihood {
    /// Observed steps past those that differencing takes away.
    pub observed: usize,
    /// Squared innovations over their variances, the noise's variance being one.
    pub squares: f64,
    /// Sum of the logarithms of those variances.
    pub logs: f64,
    /// The best constant, where one was asked for.
    pub constant: Option<f64>,
    /// Expected state of the ARMA process after the last step: its first element is the next step's mean.
    pub state: Vec<f64>,
    /// Expected values of as many last steps as differencing looks back, the latest first.
    pub tail: Vec<f64>,
}

impl ArimaLikelihood {
    /// Variance of the noise.
    pub fn variance(&self) -> f64 {
        self.squares / self.observed as f64
    }

    /// The log-likelihood with the noise's variance at its best.
    pub fn log_likelihood(&self) -> f64 {
        log_likelihood(self.observed as f64, self.squares, self.logs)
    }
}

/// Squared error a step below which a fit counts as perfect, on standardised data: rounding leaves no less.
const NOTHING: f64 = 1e-20;

pub(crate) fn log_likelihood(observed: f64, squares: f64, logs: f64) -> f64 {
    let variance = squares / observed + NOTHING;
    -0.5 * (observed * ((std::f64::consts::TAU * variance).ln() + 1.0) + logs)
}

/// Akaike's criterion, corrected for short series; lower is better. Infinite where as many parameters leave nothing
/// to tell by.
///
/// `observed` counts observations, `parameters` everything estimated, the variance too. Source: Hyndman and
/// Athanasopoulos, *Forecasting: Principles and Practice*, 3rd ed., 8.6.
pub fn aicc(log_likelihood: f64, observed: f64, parameters: usize) -> f64 {
    let k = parameters as f64;
    let left = observed - k - 1.0;
    if left > 0.0 { -2.0 * log_likelihood + 2.0 * k + 2.0 * k * (k + 1.0) / left } else { f64::INFINITY }
}

/// Screens every order on every series and returns the best `keep` models of each by Akaike's corrected criterion: with
/// a constant and, where a series is differenced, without.
///
/// Each order's conditional sum of squares is minimised from the better of the orders one coefficient smaller by
/// damped Gauss-Newton steps, in free numbers that keep every polynomial's roots outside the unit circle, and those of
/// two or more coefficients further out than by `margin`, here and in every search that begins from what comes out.
/// Before a series' first step its first season is thought repeated, or its mean where it is differenced. Where sums
/// within 40 of the best criterion end, the exact likelihood is evaluated once. A gap is filled for the screen from the
/// seasons about it. The smaller orders that an order needs are screened too, and are candidates. One order asked for
/// alone is searched from every smaller one.
///
/// - `y`: `[series, steps]`, standardised; NaN where unobserved. A series begins with its first observed step.
/// - `margin`: in modulus.
///
/// On the CPU series run eight side by side, some groups of eight a task. On a GPU a unit has a series, and one launch
/// looks at one place of each; what comes down is what is kept. What comes out for a series depends on it alone.
/// Source: Hyndman and Khandakar, Automatic time series forecasting, Journal of Statistical Software 27(3), 2008, for
/// the criterion and the candidates; Box, Jenkins and Reinsel, 4th ed., 7.2, for the sums.
///
/// # Errors
/// [`KernelError::Shape`] for a season of no steps; [`KernelError::Device`] when the device refuses the work.
pub fn arima_screen(
    y: &Batch,
    differencing: Differencing,
    orders: &[ArmaOrder],
    margin: f64,
    keep: usize,
) -> Result<Vec<Vec<ArimaCandidate>>, KernelError> {
    differencing.expect_season()?;
    orders.iter().try_for_each(|order| expect_len("season", order.season, order.season.max(1)))?;
    match y {
        Batch::Cpu(y) => Ok(cpu::arima_fit::arima_screen(y, differencing, orders, margin, keep)),
        Batch::Wgpu(y) => gpu::arima_fit::arima_screen(y, differencing, orders, margin, keep),
        Batch::Cuda(y) => gpu::arima_fit::arima_screen(y, differencing, orders, margin, keep),
    }
}

/// Maximises the exact Gaussian likelihood of series, each begun from a candidate of its screen.
///
/// The constant and the variance are profiled out; the rest follows by a damped Gauss-Newton search. Roots keep the
/// candidate's margin: where the likelihood rises up to the unit circle, the search ends at the margin. Gaps are filled
/// unless the effort is full; they are too for a first way up.
///
/// - `y`: as in [`arima_screen`].
/// - `starts`: a series by its row, and where its search begins; a series may be there several times.
/// - Returns a fit a start, in their order.
///
/// On the CPU a model of up to five coefficients a side without a season is searched by a likelihood that projects on
/// what came before the first step, which costs a few passes over the series with its gradient; where it ends a filter
/// has to agree. Otherwise derivatives of the likelihood and of the innovations are central differences of filters that
/// run side by side. Gaps are filled for the search of a season so long that its covariance would take seconds.
///
/// On a GPU derivatives are central differences, a unit a likelihood, and the curvature is that of the conditional sum
/// of squares where a search begins; starts of one longer side are worked on together, and what comes down is where they
/// end. A GPU without `f64` tells likelihoods apart to some hundredths of a nat.
///
/// # Errors
/// [`KernelError::Shape`] for a season of no steps or a candidate without its free numbers; [`KernelError::Device`] when
/// the device refuses the work.
///
/// # Panics
/// For a row that `y` has not.
pub fn arima_fit(
    y: &Batch,
    differencing: Differencing,
    starts: &[(usize, &ArimaCandidate)],
    effort: ArimaEffort,
) -> Result<Vec<ArimaFit>, KernelError> {
    differencing.expect_season()?;
    for (row, candidate) in starts {
        expect_len("free", candidate.free.len(), candidate.order.coefficients())?;
        expect_len("season", candidate.order.season, candidate.order.season.max(1))?;
        assert!(*row < y.count(), "row {row} of {}", y.count());
    }
    match y {
        Batch::Cpu(y) => Ok(cpu::arima_fit::arima_fit(y, differencing, starts, effort)),
        Batch::Wgpu(y) => gpu::arima_fit::arima_fit(y, differencing, starts, effort),
        Batch::Cuda(y) => gpu::arima_fit::arima_fit(y, differencing, starts, effort),
    }
}

/// The exact Gaussian likelihood of every series at coefficients of its own, its noise's variance and constant at their
/// best.
///
/// A series without gaps is differenced and takes time proportional to the order; one with gaps runs through a Kalman
/// filter whose undifferenced start is diffuse. Both agree with AS 154 as R's `arima` uses it.
///
/// - `y`: `[series, steps]`, standardised; NaN where unobserved. A series begins with its first observed step.
/// - `coefficients`: [`ArmaOrder::coefficients`] a series, series by series: φ, Φ, θ, Θ.
/// - `constant`: whether a constant is searched for, where [`ArimaSeries::may_have_constant`] allows one.
///
/// On a GPU the stationary start is a sum by doubling, a unit a cell of each series' covariance; a series without gaps
/// then has a unit of its own, those with gaps a unit a cell and three launches a step. As many series as a quarter of
/// the device's largest piece of memory has room for are worked on together; of them comes down who has gaps, then what
/// was found. A GPU without `f64` finds the sums to about a thousandth, and has no room for a diffuse start: there
/// `squares` of a differenced series with gaps is NaN.
///
/// Source: Gardner, Harvey and Phillips, AS 154, Applied Statistics 29(3), 1980; Durbin and Koopman, *Time Series
/// Analysis by State Space Methods*, 2nd ed., chapters 4 and 5.
///
/// # Errors
/// [`KernelError::Shape`] unless every series has its coefficients, or for a season of no steps;
/// [`KernelError::Device`] when the device refuses the work.
pub fn arima_likelihood(
    y: &Batch,
    differencing: Differencing,
    order: ArmaOrder,
    coefficients: &[f64],
    constant: bool,
) -> Result<Vec<ArimaLikelihood>, KernelError> {
    expect_len("coefficients", coefficients.len(), y.count() * order.coefficients())?;
    expect_len("season", order.season, order.season.max(1))?;
    differencing.expect_season()?;
    match y {
        Batch::Cpu(y) => Ok(cpu::arima_fit::arima_likelihood(y, differencing, order, coefficients, constant)),
        Batch::Wgpu(y) => gpu::arima_fit::arima_likelihood(y, differencing, order, coefficients, constant),
        Batch::Cuda(y) => gpu::arima_fit::arima_likelihood(y, differencing, order, coefficients, constant),
    }
}

#[cfg(test)]
mod tests;
