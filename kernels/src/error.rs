//! What a kernel can refuse.

/// Why an operation on a batch could not be done. Nothing was written when one is returned.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KernelError {
    /// Two operands disagree about the batch.
    #[error("{operand} has {found} values where the batch needs {needed}")]
    Shape {
        /// The argument's name.
        operand: &'static str,
        /// What it has.
        found: usize,
        /// What the batch needs.
        needed: usize,
    },
    /// Two operands lie on different devices; move one with `to_device` or `to_host`.
    #[error("{operand} lies on {found}, the batch on {needed}")]
    Elsewhere {
        /// The argument's name.
        operand: &'static str,
        /// Where it lies.
        found: &'static str,
        /// Where the batch lies.
        needed: &'static str,
    },
    /// This machine lacks the device, or something the device needs.
    #[error("no {device} device: {reason}; {remedy}")]
    Missing {
        /// `wgpu` or `cuda`.
        device: &'static str,
        /// What was looked for and not found.
        reason: String,
        /// What to install or choose instead.
        remedy: &'static str,
    },
    /// The device refused the work; a smaller batch may succeed.
    #[error("{device} refused {operation}: {reason}")]
    Device {
        /// `wgpu` or `cuda`.
        device: &'static str,
        /// What was asked of it.
        operation: &'static str,
        /// The device's own words.
        reason: String,
    },
}

/// Checks that an operand has one value for each place of the batch.
pub(crate) fn expect_len(operand: &'static str, found: usize, needed: usize) -> Result<(), KernelError> {
    if found == needed { Ok(()) } else { Err(KernelError::Shape { operand, found, needed }) }
}
