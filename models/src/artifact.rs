//! A fitted model as bytes, and back to the same bits.
//!
//! One byte of format, the length of what follows, its CRC-32, and then the family's learned state by serde. Whoever
//! reads trusts none of it: bytes of another format, cut off and damaged ones are told apart, and what fits together no
//! better than chance is refused before it could forecast.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::auto::KeptAuto;
use crate::classical::{
    FittedArima, FittedAutoEts, FittedCard, FittedCes, FittedDhr, FittedEts, FittedMstl, FittedNaive, FittedRidge,
    FittedSeasonalAr, FittedSeasonalMedian, FittedTheta, KeptProphet,
};
use crate::neural::{FittedLstmBank, FittedLstmGlobal};
use crate::{FitStatus, Fitted, FittedAuto};

/// The format written. Another one comes with a reader of this one: [`decode`] reads every format ever written.
const FORMAT: u8 = 1;
/// Format, length and checksum.
const HEADER: usize = 1 + 8 + 4;

/// Why bytes are not a fitted model, or a fitted model does not become bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ArtifactError {
    /// A newer version wrote it: fit anew, or read it with that version.
    #[error("an artifact of format {0}, which is not known here")]
    Format(u8),
    /// Its end is missing.
    #[error("an artifact of {needed} bytes is cut off after {given}")]
    CutOff {
        /// Bytes that are there.
        given: usize,
        /// Bytes that it says it has; of a header where not even that is whole.
        needed: usize,
    },
    /// Bytes are not as they were written, or others follow.
    #[error("an artifact is damaged")]
    Damaged,
    /// What its forecasts hang on is not part of the fit, such as a regressor: fit it anew.
    #[error("a fit of {family} that hangs on what lies outside it is not kept")]
    Unsupported {
        /// The family.
        family: &'static str,
    },
}

/// More steps than any window has: what is read may not send a forecast on a longer way.
pub(crate) const MOST_STEPS: usize = 1 << 20;

/// More steps than any fit has lived to see, appended ones among them.
pub(crate) const MOST_LIVED: usize = 1 << 31;

/// What a family keeps of a fit; [`encode`] makes bytes of it.
pub struct Artifact<'a>(pub(crate) Kept<'a>);

/// A variant's place is its number in the bytes: new ones go to the end.
#[derive(Serialize, Deserialize)]
pub(crate) enum Kept<'a> {
    Naive(Cow<'a, FittedNaive>),
    SeasonalMedian(Cow<'a, FittedSeasonalMedian>),
    Ets(Cow<'a, FittedEts>),
    AutoEts(Cow<'a, FittedAutoEts>),
    Theta(Cow<'a, FittedTheta>),
    Ces(Cow<'a, FittedCes>),
    Arima(Cow<'a, FittedArima>),
    Mstl(Cow<'a, FittedMstl>),
    Ridge(Cow<'a, FittedRidge>),
    Card(Cow<'a, FittedCard>),
    Prophet(KeptProphet),
    Auto(KeptAuto),
    Dhr(Cow<'a, FittedDhr>),
    SeasonalAr(Cow<'a, FittedSeasonalAr>),
    LstmBank(Cow<'a, FittedLstmBank>),
    LstmGlobal(Cow<'a, FittedLstmGlobal>),
}

/// What was read of a family and may not fit together.
pub(crate) trait Whole {
    /// Whether every part is there that a forecast or a new step asks for.
    fn is_whole(&self) -> bool;
}

/// Whether something was learned of exactly the series with a usable status, and each of it is sound.
pub(crate) fn each_is_whole<L>(status: &[FitStatus], learned: &[Option<L>], is_sound: impl Fn(&L) -> bool) -> bool {
    let whole = |(status, own): (&FitStatus, &Option<L>)| match own {
        Some(own) => status.is_usable() && is_sound(own),
        None => !status.is_usable(),
    };
    status.len() == learned.len() && status.iter().zip(learned).all(whole)
}

/// The bytes of a fit.
///
/// # Errors
/// [`ArtifactError::Unsupported`] for a family that keeps none.
pub fn encode(fitted: &dyn Fitted) -> Result<Vec<u8>, ArtifactError> {
    let Artifact(kept) = fitted.artifact().ok_or(ArtifactError::Unsupported { family: fitted.family() })?;
    Ok(sealed(&postcard::to_stdvec(&kept).expect("memory grows, and every length is known")))
}

/// A body after a header that [`body_of`] checks it by.
pub(crate) fn sealed(body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER + body.len());
    bytes.push(FORMAT);
    bytes.extend((body.len() as u64).to_le_bytes());
    bytes.extend(crc32fast::hash(body).to_le_bytes());
    bytes.extend(body);
    bytes
}

/// The fit that bytes of [`encode`] hold: it forecasts the same to the bit, and its bytes are the same.
///
/// # Errors
/// [`ArtifactError`] for any other bytes.
pub fn decode(bytes: &[u8]) -> Result<Box<dyn Fitted>, ArtifactError> {
    read(body_of(bytes)?).ok_or(ArtifactError::Damaged)
}

/// The same for a fit that picked among families.
///
/// # Errors
/// As [`decode`]; the fit of a single family is [`ArtifactError::Damaged`].
pub fn decode_auto(bytes: &[u8]) -> Result<FittedAuto, ArtifactError> {
    match take(body_of(bytes)?) {
        Some(Kept::Auto(own)) => own.restore().ok_or(ArtifactError::Damaged),
        _ => Err(ArtifactError::Damaged),
    }
}

/// The same for a family that has a part in a choice, which no choice is.
pub(crate) fn decode_part(bytes: &[u8]) -> Result<Box<dyn Fitted>, ArtifactError> {
    match take(body_of(bytes)?) {
        None | Some(Kept::Auto(_)) => Err(ArtifactError::Damaged),
        Some(kept) => fitted(kept).ok_or(ArtifactError::Damaged),
    }
}

/// What follows a header that tells the truth about it.
pub(crate) fn body_of(bytes: &[u8]) -> Result<&[u8], ArtifactError> {
    let given = bytes.len();
    let cut_off = ArtifactError::CutOff { given, needed: HEADER };
    match bytes.first() {
        None => return Err(cut_off),
        Some(&FORMAT) => {}
        Some(&other) => return Err(ArtifactError::Format(other)),
    }
    let (head, body) = bytes.split_at_checked(HEADER).ok_or(cut_off)?;
    let length = u64::from_le_bytes(head[1..9].try_into().expect("eight bytes"));
    let needed = usize::try_from(length).unwrap_or(usize::MAX).saturating_add(HEADER);
    if given < needed {
        return Err(ArtifactError::CutOff { given, needed });
    }
    let sum = u32::from_le_bytes(head[9..].try_into().expect("four bytes"));
    if given > needed || crc32fast::hash(body) != sum {
        return Err(ArtifactError::Damaged);
    }
    Ok(body)
}

fn take(body: &[u8]) -> Option<Kept<'static>> {
    let (kept, rest) = postcard::take_from_bytes::<Kept<'static>>(body).ok()?;
    rest.is_empty().then_some(kept)
}

/// What the body of an artifact holds, if that is a fit.
fn read(body: &[u8]) -> Option<Box<dyn Fitted>> {
    fitted(take(body)?)
}

fn fitted(kept: Kept<'static>) -> Option<Box<dyn Fitted>> {
    match kept {
        Kept::Naive(own) => whole(own),
        Kept::SeasonalMedian(own) => whole(own),
        Kept::Ets(own) => whole(own),
        Kept::AutoEts(own) => whole(own),
        Kept::Theta(own) => whole(own),
        Kept::Ces(own) => whole(own),
        Kept::Arima(own) => whole(own),
        Kept::Mstl(own) => whole(own),
        Kept::Ridge(own) => whole(own),
        Kept::Card(own) => whole(own),
        Kept::Prophet(own) => own.is_whole().then(|| Box::new(own.restore()) as Box<dyn Fitted>),
        Kept::Auto(own) => Some(Box::new(own.restore()?)),
        Kept::Dhr(own) => whole(own),
        Kept::SeasonalAr(own) => whole(own),
        Kept::LstmBank(own) => whole(own),
        Kept::LstmGlobal(own) => whole(own),
    }
}

fn whole<F: Fitted + Whole + Clone + 'static>(own: Cow<'static, F>) -> Option<Box<dyn Fitted>> {
    let own = own.into_owned();
    own.is_whole().then(|| Box::new(own) as Box<dyn Fitted>)
}

#[cfg(test)]
mod tests;
