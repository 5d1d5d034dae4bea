//! One ETS form of every series on a device: the search of [`super::auto_ets`] over it and those that it begins from.

use cubecl::prelude::*;

use super::{Buffer, auto_ets};
use crate::{EtsFit, EtsForm, KernelError};

/// See [`crate::ets_fit()`].
pub(crate) fn ets_fit<R: Runtime>(y: &Buffer<R>, offset: &[f64], form: EtsForm) -> Result<EtsFit, KernelError> {
    auto_ets::fit_one(y, offset, form)
}
