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
}
