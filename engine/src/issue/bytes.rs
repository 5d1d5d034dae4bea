//! Shadows and issue headers as bytes: little-endian, versioned, read back bit-equal.

use super::{Accuracy, Issue, Missing, Shadow, Slot};
use crate::bytes::{DecodeError, Reader, put_len, put_numbers, put_optional, put_text};

/// First byte of every encoded header; what comes after depends on it.
const FORMAT: u8 = 1;

impl Issue {
    /// What an issue says besides its shadows.
    pub(crate) fn header_bytes(&self) -> Vec<u8> {
        let mut out = vec![FORMAT];
        put_text(&mut out, &self.id);
        for number in [self.slot.start_ms, self.slot.length_ms, self.cutoff_ms] {
            out.extend(number.to_le_bytes());
        }
        put_len(&mut out, self.missing.len());
        for missing in &self.missing {
            put_text(&mut out, &missing.series);
            put_text(&mut out, &missing.reason);
        }
        out
    }

    /// Shadows in slabs of at most `slab` each, encoded.
    pub(crate) fn slabs(&self, slab: usize) -> impl Iterator<Item = Vec<u8>> {
        self.shadows.chunks(slab).map(|shadows| {
            let mut out = Vec::new();
            put_len(&mut out, shadows.len());
            shadows.iter().for_each(|shadow| shadow.encode(&mut out));
            out
        })
    }

    /// An issue from what [`Issue::header_bytes`] and [`Issue::slabs`] wrote.
    pub(crate) fn decode(header: &[u8], slabs: impl IntoIterator<Item = Vec<u8>>) -> Result<Self, DecodeError> {
        let mut header = Reader::new(header);
        let found = header.take::<1>()?[0];
        if found != FORMAT {
            return Err(DecodeError::Format { found, known: FORMAT });
        }
        let id = header.text()?;
        let slot = Slot { start_ms: header.i64()?, length_ms: header.i64()? };
        let cutoff_ms = header.i64()?;
        let missing = (0..header.len()?)
            .map(|_| Ok(Missing { series: header.text()?, reason: header.text()? }))
            .collect::<Result<_, _>>()?;
        let mut shadows = Vec::new();
        for slab in slabs {
            let mut slab = Reader::new(&slab);
            for _ in 0..slab.len()? {
                shadows.push(Shadow::decode(&mut slab)?);
            }
        }
        Ok(Self { id, slot, cutoff_ms, shadows, missing })
    }

    /// FNV-1a of everything but the id. Source: Fowler, Noll, Vo, draft-eastlake-fnv.
    pub(super) fn digest(&self) -> u64 {
        let fnv = |hash: u64, bytes: &[u8]| {
            bytes.iter().fold(hash, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
        };
        let header = fnv(0xcbf2_9ce4_8422_2325, &self.header_bytes());
        self.slabs(1).fold(header, |hash, slab| fnv(hash, &slab))
    }
}

impl Shadow {
    fn encode(&self, out: &mut Vec<u8>) {
        put_text(out, &self.series);
        put_text(out, &self.model);
        out.extend(self.cutoff_ms.to_le_bytes());
        out.extend(self.step_ms.to_le_bytes());
        put_numbers(out, &self.levels);
        put_len(out, self.steps);
        out.extend(self.base.to_le_bytes());
        out.extend(self.offsets.iter().flat_map(|offset| offset.to_le_bytes()));
        out.push(u8::from(self.accuracy.is_some()));
        if let Some(accuracy) = &self.accuracy {
            put_optional(out, accuracy.mase);
            put_optional(out, accuracy.mase_seasonal_naive);
            out.extend(accuracy.coverage95_percent.to_le_bytes());
            out.extend(accuracy.folds.to_le_bytes());
            let shares = accuracy.shares.iter().flat_map(|(level, share)| [*level, *share]);
            put_numbers(out, &shares.collect::<Vec<f64>>());
        }
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (series, model) = (from.text()?, from.text()?);
        let (cutoff_ms, step_ms) = (from.i64()?, from.i64()?);
        let levels = from.numbers()?;
        let steps = from.len()?;
        let base = from.f64()?;
        let count = steps.checked_mul(levels.len() + 1).filter(|count| *count <= from.remaining() / 4);
        let offsets = (0..count.ok_or(DecodeError::Damaged)?)
            .map(|_| from.take().map(f32::from_le_bytes))
            .collect::<Result<_, _>>()?;
        let accuracy = (from.take::<1>()?[0] == 1).then(|| Accuracy::decode(from)).transpose()?;
        Ok(Self { series, model, cutoff_ms, step_ms, levels, steps, base, offsets, accuracy })
    }
}

impl Accuracy {
    fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            mase: from.optional()?,
            mase_seasonal_naive: from.optional()?,
            coverage95_percent: from.f64()?,
            folds: from.take().map(u32::from_le_bytes)?,
            shares: from.numbers()?.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect(),
        })
    }
}
