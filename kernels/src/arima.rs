//! Autoregressive moving averages: the residual recursion and its gradient, all series at once.

use serde::{Deserialize, Serialize};

use crate::error::expect_len;
use crate::{KernelError, Matrix, cpu, gpu};

/// Which multiplicative ARMA model: `(ar, ma)` at lags of a step, `(seasonal_ar, seasonal_ma)` at lags of a season.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ArmaOrder {
    /// Autoregressive coefficients.
    pub ar: usize,
    /// Autoregressive coefficients at whole seasons.
    pub seasonal_ar: usize,
    /// Moving-average coefficients.
    pub ma: usize,
    /// Moving-average coefficients at whole seasons.
    pub seasonal_ma: usize,
    /// Steps in a season; 1 for none.
    pub season: usize,
}

impl ArmaOrder {
    /// Coefficients of a series: `ar`, `seasonal_ar`, `ma` and `seasonal_ma` of them, one after the other.
    pub fn coefficients(self) -> usize {
        self.ar + self.seasonal_ar + self.ma + self.seasonal_ma
    }

    /// How many coefficients each of the four polynomials has, in the order in which they are kept.
    pub fn blocks(self) -> [usize; 4] {
        [self.ar, self.seasonal_ar, self.ma, self.seasonal_ma]
    }

    /// The longest lag of the autoregression multiplied out.
    pub fn ar_reach(self) -> usize {
        self.ar + self.season * self.seasonal_ar
    }

    /// The longest lag of the moving average multiplied out.
    pub fn ma_reach(self) -> usize {
        self.ma + self.season * self.seasonal_ma
    }

    /// Coefficients of the two sides multiplied out, from lag 1 on: of the past values that the recursion adds, and of
    /// the past residuals.
    pub fn multiplied_out(self, coefficients: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let (ar, rest) = coefficients.split_at(self.ar);
        let (seasonal_ar, rest) = rest.split_at(self.seasonal_ar);
        let (ma, seasonal_ma) = rest.split_at(self.ma);
        (product(ar, seasonal_ar, self.season, -1.0), product(ma, seasonal_ma, self.season, 1.0))
    }

    /// The longest lag of any one of the four polynomials.
    pub(crate) fn longest_lag(self) -> usize {
        self.ar.max(self.ma).max(self.season * self.seasonal_ar.max(self.seasonal_ma))
    }
}

/// `sign · ((1 + sign·a₁B + …)(1 + sign·b₁Bᵐ + …) - 1)`, from lag 1 on.
fn product(steps: &[f64], seasons: &[f64], season: usize, sign: f64) -> Vec<f64> {
    let mut product = vec![0.0; steps.len() + season * seasons.len()];
    product[..steps.len()].copy_from_slice(steps);
    for (j, b) in seasons.iter().enumerate() {
        let lag = (j + 1) * season;
        product[lag - 1] += b;
        steps.iter().enumerate().for_each(|(i, a)| product[lag + i] += sign * a * b);
    }
    product
}

/// Sum of squared residuals of each series, and its derivatives.
#[derive(Clone, Debug, PartialEq)]
pub struct ArmaGradient {
    /// Sum of squared residuals past the skipped steps.
    pub sse: Vec<f64>,
    /// Derivatives by the coefficients, [`ArmaOrder::coefficients`] a series.
    pub coefficients: Vec<f64>,
}

/// Squared residuals of a multiplicative ARMA model and their gradient.
///
/// With `B` the lag by a step, `m` the season and everything before the first step zero, the residual `e` solves
///
/// ```text
/// (1 - φ₁B - …)(1 - Φ₁Bᵐ - …) y[t] = (1 + θ₁B + …)(1 + Θ₁Bᵐ + …) e[t]
/// ```
///
/// Its derivatives are filtered series themselves, shifted: with `z = y / (θΘ)`, `u = Φz` and `s = φz`,
/// `e = φu`, and the derivatives by `φᵢ`, `Φⱼ`, `θᵢ`, `Θⱼ` are `-u[t-i]`, `-s[t-jm]`, `-(e/θ)[t-i]` and
/// `-(e/Θ)[t-jm]`. So a gradient costs six filters, however many coefficients there are.
///
/// - `y`: `[steps, series]` without gaps; a NaN spreads down its own series.
/// - `coefficients`: [`ArmaOrder::coefficients`] a series, series by series: φ, Φ, θ, Θ.
/// - `skip`: steps at the beginning whose residuals are not counted; they warm the filters up.
///
/// One lane per series, `steps` dependent steps, in `f64`; a GPU without it works in `f32`.
/// Source: Box, Jenkins and Reinsel, *Time Series Analysis*, 4th ed., 7.1 and 7.2.
///
/// # Errors
/// [`KernelError::Shape`] unless the coefficients fit the batch; [`KernelError::Device`] when the device refuses
/// the work.
pub fn arma_gradient(
    y: &Matrix,
    order: ArmaOrder,
    coefficients: &[f64],
    skip: usize,
) -> Result<ArmaGradient, KernelError> {
    expect_len("coefficients", coefficients.len(), y.series() * order.coefficients())?;
    expect_len("season", order.season, order.season.max(1))?;
    match y {
        Matrix::Cpu(y) => Ok(cpu::arima::arma_gradient(y, order, coefficients, skip)),
        Matrix::Wgpu(y) => gpu::arima::arma_gradient(y, order, coefficients, skip),
        Matrix::Cuda(y) => gpu::arima::arma_gradient(y, order, coefficients, skip),
    }
}

#[cfg(test)]
mod tests;
