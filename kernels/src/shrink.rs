//! Least squares of many series whose coefficients are shrunk and whose noise is unknown.

use cubecl::cuda::CudaRuntime;
use cubecl::wgpu::WgpuRuntime;

use crate::error::expect_len;
use crate::gpu::shrink::{Ends, Tables};
use crate::{Batch, Device, KernelError, Rows, cpu, gpu};

pub(crate) mod spectrum;

/// Times the normal coefficients are eliminated anew for a changed noise; three or four are usual.
pub(crate) const ELIMINATION_CAP: u32 = 30;
/// Alternations of coefficients and noise within one elimination.
pub(crate) const ALTERNATION_CAP: u32 = 300;
/// Signs that may enter or leave in one solution; twice the coefficients are many.
pub(crate) const STEP_CAP: u32 = 400;

/// What is believed of the coefficients and of the noise before the data.
#[derive(Clone, Debug)]
pub struct Prior {
    /// Inverse variances of the leading, normal coefficients about zero.
    pub precisions: Vec<f64>,
    /// Scale of the Laplace distribution of each coefficient after those.
    pub laplace_scale: f64,
    /// Scale of the noise's half-normal distribution.
    pub noise_scale: f64,
    /// The least noise that is told apart from none: without it, a series without noise has no optimum.
    pub noise_floor: f64,
}

impl Prior {
    /// Puts this prior and the Gram matrices of series where the work is to be done.
    ///
    /// - `order`: `p`, the coefficients of a series.
    /// - `grams`: `[grams, p, p]`, in host memory; `gram_of` names each series' own.
    ///
    /// For a GPU each Gram's normal block is decomposed on the host's cores (about `40 p^3` flops for `p` normal
    /// coefficients), and the device is sent some `p^2` numbers a Gram and four bytes a series. On the CPU it is a copy.
    ///
    /// # Errors
    /// [`KernelError::Shape`] when there are more precisions than coefficients or `gram_of` names a Gram that is not
    /// there; [`KernelError::Device`] when the device has no room for them, or no shared memory for the factor of all
    /// Laplace coefficients: of some eighty in `f64` where a cube is granted 32 KiB, of two hundred where it is 200
    /// KiB.
    pub fn to_device(
        &self,
        device: &Device,
        order: usize,
        grams: &[f64],
        gram_of: &[usize],
    ) -> Result<Shrinkage, KernelError> {
        expect_len("precisions", self.precisions.len().max(order), order)?;
        let count = gram_of.iter().map(|gram| gram + 1).max().unwrap_or(0).max(grams.len() / (order * order).max(1));
        expect_len("grams", grams.len(), count * order * order)?;
        let place = match device {
            Device::Cpu => Place::Cpu(self.clone(), grams.to_vec(), gram_of.to_vec()),
            Device::Wgpu(gpu) => Place::Wgpu(Tables::upload(gpu, self, order, grams, gram_of)?),
            Device::Cuda(gpu) => Place::Cuda(Tables::upload(gpu, self, order, grams, gram_of)?),
        };
        Ok(Shrinkage { order, series: gram_of.len(), place })
    }
}

/// A prior and the Gram matrix of each series, where the work is to be done: what [`shrink_on`] minimises with. Made by
/// [`Prior::to_device`].
#[derive(Clone, Debug)]
pub struct Shrinkage {
    order: usize,
    series: usize,
    place: Place,
}

#[derive(Clone, Debug)]
enum Place {
    Cpu(Prior, Vec<f64>, Vec<usize>),
    Wgpu(Tables<WgpuRuntime>),
    Cuda(Tables<CudaRuntime>),
}

impl Shrinkage {
    /// `p`: the coefficients of a series.
    pub fn order(&self) -> usize {
        self.order
    }

    /// Series that it was made for.
    pub fn series(&self) -> usize {
        self.series
    }

    /// `cpu`, `wgpu` or `cuda`: where it lies.
    pub fn kind(&self) -> &'static str {
        match &self.place {
            Place::Cpu(..) => "cpu",
            Place::Wgpu(tables) => tables.gpu().kind(),
            Place::Cuda(tables) => tables.gpu().kind(),
        }
    }
}

/// One series' data, reduced to what the objective needs, about a starting point.
#[derive(Clone, Copy, Debug)]
pub struct Moments {
    /// Observed values.
    pub count: usize,
    /// Sum of the squared residuals `y - X start`.
    pub square: f64,
}

/// Where the objective of each series is least.
#[derive(Clone, Debug)]
pub struct Shrunk {
    /// Coefficients, `[series, p]`.
    pub x: Vec<f64>,
    /// Noise, one a series.
    pub noise: Vec<f64>,
    /// Linear systems solved, one number a series.
    pub solves: Vec<u32>,
    /// Whether a series' iterations ended before their cap.
    pub converged: Vec<bool>,
}

/// [`Shrunk`] where it was made.
#[derive(Clone, Debug)]
pub struct ShrunkOn {
    /// Coefficients, `[series, p]`.
    pub x: Batch,
    /// Noise, `[series, 1]`.
    pub noise: Batch,
    /// Linear systems solved, `[series, 1]`.
    pub solves: Batch,
    /// 1 where a series' iterations ended before their cap, else 0, `[series, 1]`.
    pub converged: Batch,
}

impl ShrunkOn {
    /// Copies everything to host memory.
    ///
    /// # Errors
    /// [`KernelError::Device`] when the device refused this copy or any work that led to it.
    pub fn to_host(&self) -> Result<Shrunk, KernelError> {
        Ok(Shrunk {
            x: self.x.to_host()?.values().to_vec(),
            noise: self.noise.to_host()?.values().to_vec(),
            solves: self.solves.to_host()?.values().iter().map(|&solves| solves as u32).collect(),
            converged: self.converged.to_host()?.values().iter().map(|&converged| converged == 1.0).collect(),
        })
    }

    fn of<R: cubecl::prelude::Runtime>(ends: Ends<R>, batch: impl Fn(crate::RowBuffer<R>) -> Batch) -> Self {
        let Ends { x, noise, solves, converged } = ends;
        Self { x: batch(x), noise: batch(noise), solves: batch(solves), converged: batch(converged) }
    }
}

/// Minimises, for each series alone, over coefficients `x` and noise `s` at least the floor,
///
/// `n ln s + |y - X x|^2 / (2 s^2) + sum precision[i] x[i]^2 / 2 + sum |x[j]| / laplace + s^2 / (2 scale^2)`,
///
/// the normal coefficients `i` coming first, the Laplace ones `j` after them.
///
/// - `grams`: `[grams, p, p]`, `X'X` of the series' observed steps; `gram_of` names each series' own.
/// - `moments`, `cross` (`[series, p]`): `n`, `|r|^2` and `X'r` of the residuals `r = y - X start`.
/// - `start`: `[series, p]`. From a start near the optimum nothing cancels: a second call, about the first
///   one's result, gains the digits that a large sum of squares cost the first.
///
/// For a fixed `s` this is a convex problem, solved exactly: the normal coefficients are eliminated, then
/// signs enter one at a time and leave where a coefficient would cross zero. That alternates with `s^2 =
/// 2 RSS / (n + sqrt(n^2 + 4 RSS / scale^2))`, the exact minimum for a fixed `x`, so the objective never rises.
/// About `p^3 / 3` flops an elimination (three or four a series), `k^2` a step of `k` signs. All in `f64`.
///
/// # Errors
/// [`KernelError::Shape`] when an operand is not of the batch's size or `gram_of` names a Gram that is not there.
pub fn shrink(
    prior: &Prior,
    grams: &[f64],
    gram_of: &[usize],
    moments: &[Moments],
    cross: &[f64],
    start: &[f64],
) -> Result<Shrunk, KernelError> {
    let expect = |operand, found, needed| {
        if found == needed { Ok(()) } else { Err(KernelError::Shape { operand, found, needed }) }
    };
    let series = gram_of.len();
    let order = cross.len() / series.max(1);
    expect("cross", cross.len(), order * series)?;
    expect("precisions", prior.precisions.len().max(order), order)?;
    expect("moments", moments.len(), series)?;
    expect("start", start.len(), cross.len())?;
    let count = gram_of.iter().map(|gram| gram + 1).max().unwrap_or(0);
    expect("grams", grams.len().min(count * order * order), count * order * order)?;
    Ok(cpu::shrink::shrink(prior, grams, gram_of, moments, cross, start))
}

/// [`shrink`] where the operands lie.
///
/// - `moments`: `[series, 2]`, the count and the square of each series' [`Moments`].
/// - `cross`, `start`: `[series, p]`.
/// - Returns what it found, left where it was made: nothing crosses the bus.
///
/// On a GPU a cube of 32 units does a series. It solves along the generalised eigenvectors of the normal coefficients'
/// block and their precisions, of which a ridge only shifts the eigenvalues, so a step costs `hinges * p` flops and a
/// changed noise `active^2 * normal`; signs enter and leave as on the CPU, and what both find is the same to rounding. A
/// series that holds no number, or one past an `f32`'s 3.4e38, has NaN for its coefficients and noise and did not
/// converge; nor did one that took more than 4,096 steps, 512 on a software Vulkan.
///
/// A GPU without `f64` computes in `f32`: it is right to some 1e-7 times the Gram's condition, so that with close
/// hinges the noise is known to a few hundredths of itself, their sum as well and each of them not. Only a second call
/// about the first one's result is right to that.
///
/// # Errors
/// [`KernelError::Shape`] and [`KernelError::Elsewhere`] unless the operands share a batch and a device;
/// [`KernelError::Device`] when the device refuses the work.
pub fn shrink_on(problem: &Shrinkage, moments: &Batch, cross: &Batch, start: &Batch) -> Result<ShrunkOn, KernelError> {
    moments.expect("moments", problem.series, 2)?;
    cross.expect("cross", problem.series, problem.order)?;
    start.expect("start", problem.series, problem.order)?;
    match (&problem.place, moments, cross, start) {
        (Place::Cpu(prior, grams, gram_of), Batch::Cpu(moments), Batch::Cpu(cross), Batch::Cpu(start)) => {
            let moments = (0..moments.count()).map(|s| moments.row(s));
            let moments: Vec<_> = moments.map(|own| Moments { count: own[0] as usize, square: own[1] }).collect();
            let found = cpu::shrink::shrink(prior, grams, gram_of, &moments, cross.values(), start.values());
            let column = |values: Vec<f64>| Rows::new(values.len(), 1, values).map(Batch::Cpu);
            Ok(ShrunkOn {
                x: Rows::new(problem.series, problem.order, found.x).map(Batch::Cpu)?,
                noise: column(found.noise)?,
                solves: column(found.solves.into_iter().map(f64::from).collect())?,
                converged: column(
                    found.converged.into_iter().map(|converged| f64::from(u8::from(converged))).collect(),
                )?,
            })
        }
        (Place::Wgpu(tables), Batch::Wgpu(moments), Batch::Wgpu(cross), Batch::Wgpu(start)) => {
            gpu::shrink::shrink(tables, moments, cross, start).map(|ends| ShrunkOn::of(ends, Batch::Wgpu))
        }
        (Place::Cuda(tables), Batch::Cuda(moments), Batch::Cuda(cross), Batch::Cuda(start)) => {
            gpu::shrink::shrink(tables, moments, cross, start).map(|ends| ShrunkOn::of(ends, Batch::Cuda))
        }
        _ => {
            let operands = [("moments", moments), ("cross", cross), ("start", start)];
            let (operand, found) = operands
                .into_iter()
                .find(|(_, batch)| batch.kind() != problem.kind())
                .expect("one lies elsewhere, or all were matched");
            Err(found.elsewhere(operand, problem.kind()))
        }
    }
}

#[cfg(test)]
mod tests;
