//! The exact likelihood of a series with gaps: a Kalman filter over the ARMA state and the steps that differencing
//! looks back on, the latter diffuse.

use pulp::{Arch, Simd, WithSimd};

use super::super::fused;
use super::exact::{Innovations, Sums};
use super::polynomial::{Start, start};
use crate::ArmaOrder;
use crate::arima_fit::ArimaSeries;

/// Variance of what nothing is known of, in units of the noise's.
const DIFFUSE: f64 = 1e8;
/// An innovation of more variance than this tells of the start alone and is not counted.
const TELLS_OF_START: f64 = 1e5;

/// The filter's sums and the observed steps that each lane counted.
pub(super) struct Filtered<const W: usize> {
    pub(super) sums: Sums<W>,
    pub(super) counted: [f64; W],
}

/// Filters an undifferenced series with gaps by models of one order.
pub(super) fn filter<const W: usize>(
    series: &ArimaSeries<'_>,
    order: ArmaOrder,
    coefficients: &[[f64; W]],
    innovations: Option<&mut Innovations<W>>,
) -> Filtered<W> {
    Arch::new().dispatch(Run { series, order, coefficients, innovations })
}

struct Run<'a, const W: usize> {
    series: &'a ArimaSeries<'a>,
    order: ArmaOrder,
    coefficients: &'a [[f64; W]],
    innovations: Option<&'a mut Innovations<W>>,
}

impl<const W: usize> WithSimd for Run<'_, W> {
    type Output = Filtered<W>;

    #[inline(always)]
    fn with_simd<V: Simd>(self, _simd: V) -> Filtered<W> {
        if V::IS_SCALAR { self.run::<false>() } else { self.run::<true>() }
    }
}

impl<const W: usize> Run<'_, W> {
    #[inline(always)]
    fn run<const FMA: bool>(mut self) -> Filtered<W> {
        let origin = self.series.values.iter().copied().find(|v| !v.is_nan()).unwrap_or(0.0);
        let mut state = State::new(start::<FMA, W>(self.order, self.coefficients), &self.series.carried());
        let mut sums =
            Sums { squares: [0.0; W], cross: [0.0; W], ones: [0.0; W], logs: [0.0; W], state: [vec![], vec![]] };
        let mut counted = [0.0; W];
        for (t, value) in self.series.values.iter().enumerate() {
            if !value.is_nan() {
                let variance = state.observe();
                let gone: [f64; W] = state.miss(0, value - if self.series.lost_steps() > 0 { origin } else { 0.0 });
                let left: [f64; W] = state.miss(1, self.series.constant_column(t as f64));
                for w in 0..W {
                    let inverse = if variance[w] < TELLS_OF_START { 1.0 / variance[w] } else { 0.0 };
                    sums.squares[w] += gone[w] * gone[w] * inverse;
                    sums.cross[w] += gone[w] * left[w] * inverse;
                    sums.ones[w] += left[w] * left[w] * inverse;
                    if inverse > 0.0 {
                        sums.logs[w] += variance[w].ln();
                        counted[w] += 1.0;
                    }
                }
                if let Some(innovations) = &mut self.innovations {
                    let weight = if variance[0] < TELLS_OF_START { 1.0 / variance[0] } else { 0.0 };
                    innovations.push(gone, left, weight);
                }
                state.take::<FMA>(&gone, &left, &variance);
            }
            state.ahead::<FMA>();
        }
        let shift = if self.series.lost_steps() > 0 { origin } else { 0.0 };
        let width = state.start.width;
        state.means[0][width..].iter_mut().for_each(|row| row.iter_mut().for_each(|v| *v += shift));
        sums.state = state.means;
        Filtered { sums, counted }
    }
}

struct State<const W: usize> {
    start: Start<W>,
    /// Lags and weights of the observed steps that differencing adds back.
    carried: Vec<(usize, f64)>,
    size: usize,
    /// Predicted state of the series, and of the constant's column.
    means: [Vec<[f64; W]>; 2],
    /// Its covariance, `[size, size]`, and room for the next one.
    covariance: Vec<[f64; W]>,
    moved: Vec<[f64; W]>,
    /// Covariance of the state with the observation.
    gain: Vec<[f64; W]>,
}

impl<const W: usize> State<W> {
    fn new(start: Start<W>, carried: &[f64]) -> Self {
        let (width, size) = (start.width, start.width + carried.len());
        let mut covariance = vec![[0.0; W]; size * size];
        let (phi, theta) = (dense(&start.ar, width, 1), dense(&start.ma, width, 0));
        let first = &start.covariance;
        let beyond = |row: &[[f64; W]], i: usize| row.get(i).copied().unwrap_or([0.0; W]);
        for i in (0..width).rev() {
            for j in (0..width).rev() {
                let (up, left) = (beyond(first, j + 1), beyond(first, i + 1));
                let corner = if i + 1 < width && j + 1 < width { covariance[(i + 1) * size + j + 1] } else { [0.0; W] };
                covariance[i * size + j] = std::array::from_fn(|w| {
                    phi[i][w] * phi[j][w] * first[0][w]
                        + phi[i][w] * up[w]
                        + phi[j][w] * left[w]
                        + corner[w]
                        + theta[i][w] * theta[j][w]
                });
            }
        }
        for i in width..size {
            covariance[i * size + i] = [DIFFUSE; W];
        }
        let carried = carried.iter().copied().enumerate().filter(|(_, c)| *c != 0.0).collect();
        let zeros = vec![[0.0; W]; size];
        Self {
            start,
            carried,
            size,
            means: [zeros.clone(), zeros.clone()],
            moved: covariance.clone(),
            covariance,
            gain: zeros,
        }
    }

    /// Sets the gain and returns the next innovation's variance.
    #[inline(always)]
    fn observe(&mut self) -> [f64; W] {
        let (size, width) = (self.size, self.start.width);
        for i in 0..size {
            self.gain[i] = self.covariance[i * size];
            for &(lag, weight) in &self.carried {
                let row = &self.covariance[i * size + width + lag];
                for w in 0..W {
                    self.gain[i][w] += weight * row[w];
                }
            }
        }
        self.seen(&self.gain)
    }

    /// The observation that a state makes.
    #[inline(always)]
    fn seen(&self, state: &[[f64; W]]) -> [f64; W] {
        let mut sum = state[0];
        for &(lag, weight) in &self.carried {
            for w in 0..W {
                sum[w] += weight * state[self.start.width + lag][w];
            }
        }
        sum
    }

    #[inline(always)]
    fn miss(&self, column: usize, value: f64) -> [f64; W] {
        self.seen(&self.means[column]).map(|expected| value - expected)
    }

    /// Learns from an observation.
    #[inline(always)]
    fn take<const FMA: bool>(&mut self, gone: &[f64; W], left: &[f64; W], variance: &[f64; W]) {
        let size = self.size;
        for i in 0..size {
            let mut share = [0.0; W];
            for w in 0..W {
                share[w] = self.gain[i][w] / variance[w];
                self.means[0][i][w] += share[w] * gone[w];
                self.means[1][i][w] += share[w] * left[w];
            }
            for (cell, gain) in self.covariance[i * size..][..size].iter_mut().zip(&self.gain) {
                for w in 0..W {
                    cell[w] = fused::<FMA>(-share[w], gain[w], cell[w]);
                }
            }
        }
    }

    /// One step ahead: a shift of the ARMA state, and of the steps looked back on.
    #[inline(always)]
    fn ahead<const FMA: bool>(&mut self) {
        let (size, width) = (self.size, self.start.width);
        let (phi, theta) = (dense(&self.start.ar, width, 1), dense(&self.start.ma, width, 0));
        for column in 0..2 {
            let before = self.means[column].clone();
            let seen = self.seen(&before);
            for i in 0..size {
                self.means[column][i] = moved_row(&before, i, width, &phi, &seen);
            }
        }
        // `T P`, row by row; then the same of its columns, which `(T P) Tᵀ` is.
        for j in 0..size {
            let column: Vec<[f64; W]> = (0..size).map(|i| self.covariance[i * size + j]).collect();
            let seen = self.seen(&column);
            for i in 0..size {
                self.moved[i * size + j] = moved_row(&column, i, width, &phi, &seen);
            }
        }
        for i in 0..size {
            let row = &self.moved[i * size..][..size];
            let seen = self.seen(row);
            for j in 0..size {
                let mut cell = moved_row(row, j, width, &phi, &seen);
                if i < width && j < width {
                    for w in 0..W {
                        cell[w] = fused::<FMA>(theta[i][w], theta[j][w], cell[w]);
                    }
                }
                self.covariance[i * size + j] = cell;
            }
        }
    }
}

/// Element `i` of the state a step later, given the observation that it makes now.
#[inline(always)]
fn moved_row<const W: usize>(
    state: &[[f64; W]],
    i: usize,
    width: usize,
    phi: &[[f64; W]],
    seen: &[f64; W],
) -> [f64; W] {
    if i == width {
        return *seen;
    }
    if i > width {
        return state[i - 1];
    }
    let next = if i + 1 < width { state[i + 1] } else { [0.0; W] };
    let mut moved = next;
    for w in 0..W {
        moved[w] += phi[i][w] * state[0][w];
    }
    moved
}

/// A polynomial's coefficients from lag `first` on, as many as the state is wide.
fn dense<const W: usize>(polynomial: &super::polynomial::Sparse<W>, width: usize, first: usize) -> Vec<[f64; W]> {
    let mut dense = vec![[0.0; W]; width];
    for (lag, tap) in polynomial.lags.iter().zip(&polynomial.taps) {
        dense[lag - first] = *tap;
    }
    dense
}
