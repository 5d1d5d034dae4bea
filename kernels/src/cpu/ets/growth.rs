//! The logarithm of a long product, a lane each, with one `ln` at its end.

use super::Row;
use crate::LANES;

const MANTISSA: u64 = (1 << 52) - 1;
const ONE: u64 = 1023 << 52;

/// A product of positive factors as mantissa and exponent, so that it neither overflows nor asks for a
/// logarithm a step.
pub(super) struct Growth {
    mantissa: Row,
    /// Sum of the factors' biased exponents.
    exponents: [u64; LANES],
    factors: u64,
    /// 1, or less than 0 once a factor was not a positive number.
    sound: Row,
}

impl Growth {
    pub(super) fn new() -> Self {
        Self { mantissa: [1.0; LANES], exponents: [0; LANES], factors: 0, sound: [1.0; LANES] }
    }

    /// Takes one factor a lane. To be called once a step.
    #[inline(always)]
    pub(super) fn take(&mut self, lane: usize, factor: f64) {
        let bits = (self.mantissa[lane] * factor).to_bits();
        self.exponents[lane] += bits >> 52;
        self.mantissa[lane] = f64::from_bits((bits & MANTISSA) | ONE);
        // False for a NaN too; a sum of huge factors overflows no exponent, for each is capped here.
        let good = factor > f64::MIN_POSITIVE && factor < 1e300;
        self.sound[lane] = if good { self.sound[lane] } else { -1.0 };
    }

    #[inline(always)]
    pub(super) fn step(&mut self) {
        self.factors += 1;
    }

    /// The logarithm, or minus infinity where a factor was not positive.
    #[inline(always)]
    pub(super) fn ln(&self) -> Row {
        std::array::from_fn(|lane| {
            let twos = self.exponents[lane] as f64 - 1023.0 * self.factors as f64;
            let ln = twos * std::f64::consts::LN_2 + self.mantissa[lane].ln();
            if self.sound[lane] > 0.0 { ln } else { f64::NEG_INFINITY }
        })
    }
}
