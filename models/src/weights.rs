//! Weights as their file holds them: safetensors, each found by its name and checked before it is used.

use std::collections::HashMap;

use candle_core::{DType, Device, Tensor};
use safetensors::SafeTensors;

/// Why a file's weights are not those of the network that they should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WeightsError {
    /// Not the format, or cut off.
    #[error("not a whole safetensors file: {0}")]
    NotSafetensors(String),
    /// A weight is missing.
    #[error("the weights `{0}` are missing")]
    Missing(String),
    /// Weights of another network.
    #[error("the weights `{name}` are of shape {given:?}, where {needed:?} is needed")]
    Shape {
        /// Of the weights.
        name: String,
        /// Their shape.
        given: Vec<usize>,
        /// What the network calls for.
        needed: Vec<usize>,
    },
    /// Numbers of a kind that no network has.
    #[error("the weights `{name}` are no floats: {reason}")]
    Kind {
        /// Of the weights.
        name: String,
        /// What is wrong with them.
        reason: String,
    },
    /// A weight that is no number.
    #[error("the weights `{0}` are not all finite: the training diverged, or the file is damaged")]
    NotFinite(String),
}

/// The weights of a file, as `f32`.
#[derive(Debug)]
pub(crate) struct Weights(HashMap<String, Tensor>);

impl Weights {
    /// Reads all that are in a file's bytes, and what its metadata say under a key.
    pub(crate) fn read(bytes: &[u8], key: &str) -> Result<(Self, Option<String>), WeightsError> {
        let broken = |error: &dyn std::fmt::Display| WeightsError::NotSafetensors(error.to_string());
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(|error| broken(&error))?;
        let told = header.metadata().as_ref().and_then(|all| all.get(key)).cloned();
        let read = candle_core::safetensors::load_buffer(bytes, &Device::Cpu).map_err(|error| broken(&error))?;
        Ok((Self(read), told))
    }

    /// The weights of a name, which have that shape and are finite.
    pub(crate) fn get(&self, name: &str, shape: &[usize]) -> Result<Tensor, WeightsError> {
        let own = self.0.get(name).ok_or_else(|| WeightsError::Missing(name.into()))?;
        if own.dims() != shape {
            return Err(WeightsError::Shape { name: name.into(), given: own.dims().into(), needed: shape.into() });
        }
        let kind = |error: candle_core::Error| WeightsError::Kind { name: name.into(), reason: error.to_string() };
        if !own.dtype().is_float() {
            let reason = format!("{:?}", own.dtype());
            return Err(WeightsError::Kind { name: name.into(), reason });
        }
        let own = own.to_dtype(DType::F32).map_err(kind)?;
        let values: Vec<f32> = own.flatten_all().and_then(|flat| flat.to_vec1()).map_err(kind)?;
        match values.iter().all(|value| value.is_finite()) {
            true => Ok(own),
            false => Err(WeightsError::NotFinite(name.into())),
        }
    }
}
