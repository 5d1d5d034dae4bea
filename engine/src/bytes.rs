//! Little-endian bytes for what the store keeps: lengths before contents, nothing trusted when read.

/// Why stored bytes could not be read.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeError {
    /// A later program wrote them.
    #[error("format {found} is not known to this version, which reads up to {known}")]
    Format {
        /// What was found.
        found: u8,
        /// The newest this version reads.
        known: u8,
    },
    /// They end too early or hold what was never written.
    #[error("the bytes are cut off or damaged")]
    Damaged,
}

pub(crate) fn put_len(out: &mut Vec<u8>, len: usize) {
    out.extend(u32::try_from(len).expect("an issue holds fewer than 2^32 of anything").to_le_bytes());
}

pub(crate) fn put_text(out: &mut Vec<u8>, text: &str) {
    put_len(out, text.len());
    out.extend(text.as_bytes());
}

pub(crate) fn put_numbers(out: &mut Vec<u8>, numbers: &[f64]) {
    put_len(out, numbers.len());
    out.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
}

pub(crate) fn put_optional(out: &mut Vec<u8>, number: Option<f64>) {
    out.push(u8::from(number.is_some()));
    out.extend(number.unwrap_or(0.0).to_le_bytes());
}

/// Reads from the front of bytes that may be damaged: no length is trusted before it is checked.
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn remaining(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn take<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or(DecodeError::Damaged)?;
        self.0 = rest;
        Ok(*head)
    }

    pub(crate) fn len(&mut self) -> Result<usize, DecodeError> {
        let len = u32::from_le_bytes(self.take()?) as usize;
        if len <= self.0.len() { Ok(len) } else { Err(DecodeError::Damaged) }
    }

    pub(crate) fn i64(&mut self) -> Result<i64, DecodeError> {
        self.take().map(i64::from_le_bytes)
    }

    pub(crate) fn f64(&mut self) -> Result<f64, DecodeError> {
        self.take().map(f64::from_le_bytes)
    }

    pub(crate) fn text(&mut self) -> Result<String, DecodeError> {
        let len = self.len()?;
        let (text, rest) = self.0.split_at(len);
        self.0 = rest;
        String::from_utf8(text.to_vec()).map_err(|_| DecodeError::Damaged)
    }

    pub(crate) fn numbers(&mut self) -> Result<Vec<f64>, DecodeError> {
        (0..self.len()?).map(|_| self.f64()).collect()
    }

    pub(crate) fn optional(&mut self) -> Result<Option<f64>, DecodeError> {
        let present = self.take::<1>()?[0] == 1;
        self.f64().map(|number| present.then_some(number))
    }
}
