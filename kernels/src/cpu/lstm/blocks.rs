//! Small products whose sums stay in registers: three rows of four vectors, six of two, eight of one. With their factors
//! that is what the sixteen registers of AVX2 hold; more rows would send sums through memory.
//!
//! Loops here name every place: what an iterator's closure becomes is a function of its own, which loses the chosen
//! instruction set.
#![allow(clippy::needless_range_loop)]

use pulp::Simd;

/// A table of numbers in rows of `width`, of which the first `used` count.
#[derive(Clone, Copy)]
pub(super) struct Numbers<'a> {
    pub(super) values: &'a [f32],
    pub(super) width: usize,
    pub(super) used: usize,
}

impl<'a> Numbers<'a> {
    #[inline(always)]
    pub(super) fn row(&self, row: usize) -> &'a [f32] {
        &self.values[row * self.width..][..self.used]
    }
}

/// `sums[r][v]` and the sum over `k` of `a[r][k] b[k][v]`, where `b` has rows of `width` vectors.
#[inline(always)]
pub(super) fn product<S: Simd, const R: usize, const V: usize>(
    simd: S,
    a: [&[f32]; R],
    b: &[S::f32s],
    width: usize,
    mut sums: [[S::f32s; V]; R],
) -> [[S::f32s; V]; R] {
    let count = a[0].len();
    let mut rows = a;
    for r in 0..R {
        rows[r] = &a[r][..count];
    }
    for (k, b) in b.chunks(width).take(count).enumerate() {
        let b = &b[..V];
        let mut factors = [b[0]; R];
        for r in 0..R {
            factors[r] = simd.splat_f32s(rows[r][k]);
        }
        sums = fused::<S, R, V>(simd, factors, b, sums);
    }
    sums
}

/// `sums[r][v]` and the sum over rows of `a[row][from + r] b[row][v]`, where `b` has rows of `width` vectors.
#[inline(always)]
fn outer<S: Simd, const R: usize, const V: usize>(
    simd: S,
    a: Numbers<'_>,
    from: usize,
    b: &[S::f32s],
    width: usize,
    mut sums: [[S::f32s; V]; R],
) -> [[S::f32s; V]; R] {
    for (row, b) in b.chunks(width).enumerate() {
        let (a, b) = (&a.row(row)[from..][..R], &b[..V]);
        let mut factors = [b[0]; R];
        for r in 0..R {
            factors[r] = simd.splat_f32s(a[r]);
        }
        sums = fused::<S, R, V>(simd, factors, b, sums);
    }
    sums
}

/// One vector of `b` at a time goes through all rows: then no more than it and the factors stand beside the sums.
#[inline(always)]
fn fused<S: Simd, const R: usize, const V: usize>(
    simd: S,
    factors: [S::f32s; R],
    b: &[S::f32s],
    mut sums: [[S::f32s; V]; R],
) -> [[S::f32s; V]; R] {
    for v in 0..V {
        let b = b[v];
        for r in 0..R {
            sums[r][v] = simd.mul_add_e_f32s(factors[r], b, sums[r][v]);
        }
    }
    sums
}

/// Rows of `to`, `width` vectors each, become `start` and the sum over parts of `a[part][row] b[part]`.
#[inline(always)]
pub(super) fn set_products<S: Simd>(
    simd: S,
    start: &[S::f32s],
    a: &[Numbers<'_>],
    b: &[&[S::f32s]],
    to: &mut [S::f32s],
) {
    let (width, mut from) = (start.len(), 0);
    while from < width {
        from += match width - from {
            1 => set_columns::<S, 8, 1>(simd, start, a, b, to, from),
            2 | 3 => set_columns::<S, 6, 2>(simd, start, a, b, to, from),
            _ => set_columns::<S, 3, 4>(simd, start, a, b, to, from),
        };
    }
}

#[inline(always)]
fn set_columns<S: Simd, const R: usize, const V: usize>(
    simd: S,
    start: &[S::f32s],
    a: &[Numbers<'_>],
    b: &[&[S::f32s]],
    to: &mut [S::f32s],
    from: usize,
) -> usize {
    let count = to.len() / start.len();
    let mut row = 0;
    while row + R <= count {
        set_rows::<S, R, V>(simd, start, a, b, to, from, row);
        row += R;
    }
    while row < count {
        set_rows::<S, 1, V>(simd, start, a, b, to, from, row);
        row += 1;
    }
    V
}

#[inline(always)]
fn set_rows<S: Simd, const R: usize, const V: usize>(
    simd: S,
    start: &[S::f32s],
    a: &[Numbers<'_>],
    b: &[&[S::f32s]],
    to: &mut [S::f32s],
    from: usize,
    row: usize,
) {
    let width = start.len();
    let mut first = [start[0]; V];
    first.copy_from_slice(&start[from..][..V]);
    let mut sums = [first; R];
    for part in 0..a.len() {
        let mut rows: [&[f32]; R] = [&[]; R];
        for r in 0..R {
            rows[r] = a[part].row(row + r);
        }
        sums = product::<S, R, V>(simd, rows, &b[part][from..], width, sums);
    }
    for r in 0..R {
        to[(row + r) * width + from..][..V].copy_from_slice(&sums[r]);
    }
}

/// Adds the sum over rows of `a[row][k] b[row][v]` to every `to[k][v]`; `to` has rows of `width` vectors, `b` of `b_width`,
/// of which the first `width` count.
#[inline(always)]
pub(super) fn add_outer<S: Simd>(
    simd: S,
    a: Numbers<'_>,
    b: &[S::f32s],
    b_width: usize,
    to: &mut [S::f32s],
    width: usize,
) {
    let mut from = 0;
    while from < width {
        from += match width - from {
            1 => add_columns::<S, 8, 1>(simd, a, b, b_width, to, width, from),
            2 | 3 => add_columns::<S, 6, 2>(simd, a, b, b_width, to, width, from),
            _ => add_columns::<S, 3, 4>(simd, a, b, b_width, to, width, from),
        };
    }
}

#[inline(always)]
fn add_columns<S: Simd, const R: usize, const V: usize>(
    simd: S,
    a: Numbers<'_>,
    b: &[S::f32s],
    b_width: usize,
    to: &mut [S::f32s],
    width: usize,
    from: usize,
) -> usize {
    let mut k = 0;
    while k + R <= a.used {
        add_rows::<S, R, V>(simd, a, k, &b[from..], b_width, to, width, from);
        k += R;
    }
    if k + 2 <= a.used {
        add_rows::<S, 2, V>(simd, a, k, &b[from..], b_width, to, width, from);
        k += 2;
    }
    while k < a.used {
        add_rows::<S, 1, V>(simd, a, k, &b[from..], b_width, to, width, from);
        k += 1;
    }
    V
}

#[inline(always)]
fn add_rows<S: Simd, const R: usize, const V: usize>(
    simd: S,
    a: Numbers<'_>,
    k: usize,
    b: &[S::f32s],
    b_width: usize,
    to: &mut [S::f32s],
    width: usize,
    from: usize,
) {
    let mut sums = [[b[0]; V]; R];
    for r in 0..R {
        sums[r].copy_from_slice(&to[(k + r) * width + from..][..V]);
    }
    sums = outer::<S, R, V>(simd, a, k, b, b_width, sums);
    for r in 0..R {
        to[(k + r) * width + from..][..V].copy_from_slice(&sums[r]);
    }
}
