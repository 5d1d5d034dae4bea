//! How far the searches go, on every device alike.

/// The largest partial autocorrelation: a root of modulus 1.00001 for a polynomial of one coefficient.
pub(crate) const LARGEST: f64 = 0.999_99;
/// The largest partial autocorrelation that a search begins from.
pub(crate) const INSIDE: f64 = 0.98;
/// Free numbers are held inside this: past it their coefficient no longer moves.
pub(crate) const FARTHEST: f64 = 6.0;
/// A free number past this is at its bound: were one just inside to take part in a step, the cut at the bound would turn
/// the rest of the step, which counts on it, uphill.
pub(crate) const AT_BOUND: f64 = 5.9;

/// A screen's way down one order's sum of squares.
pub(crate) mod descent {
    /// Evaluations of one order's sum of squares at most; a search that ends there is near enough to be ranked.
    pub(crate) const MAX_TRIALS: usize = 16;
    /// Share of the sum of squares that a step must still promise.
    pub(crate) const SETTLED: f64 = 1e-5;
    /// The longest move of a free number in one step.
    pub(crate) const LONGEST: f64 = 1.5;
    /// How far the criterion of a sum of squares may be from the best for the exact likelihood to be looked at.
    pub(crate) const COMPETING: f64 = 40.0;
    /// Free numbers that an exact search begins within: partial autocorrelations of 0.9993.
    pub(crate) const BEGIN: f64 = 4.0;
}

/// The search for the exact likelihood's top.
pub(crate) mod search {
    pub(crate) const MAX_ROUNDS: usize = 60;
    /// The longest move of a free number in one step.
    pub(crate) const LONGEST: f64 = 1.0;
    /// Damping of a step that is as good as free.
    pub(crate) const FREE: f64 = 1e-7;
    /// Damping at which a search that finds no way down gives up, and the nats that an end found so may still promise.
    pub(crate) const STUCK: f64 = 1e4;
    pub(crate) const NEAR: f64 = 1e-2;
    /// Damping past which a mended curvature is looked at anew, and let be.
    pub(crate) const ASTRAY: f64 = 1.0;
    /// Half the span of a central difference: its error is this squared, times a third derivative of at most some
    /// thousands.
    pub(crate) const SPAN: f64 = 3e-5;
    /// Cells of covariance that a look at a series with gaps may go through; a longer season is searched with its gaps
    /// filled, and its likelihood and state there are the filter's.
    pub(crate) const SEARCHED: usize = 30_000_000;
}
