//! What is known live of every series: how families did since they were asked, and which of them serves.

pub mod fits;

use std::collections::BTreeMap;

use foreshadow_models::live::{Said, Track};
use foreshadow_models::{Fitted, Window, Wish};

use crate::bytes::DecodeError;
use crate::issue::Accuracy;
use fits::Fits;

/// First byte of every encoded track; what comes after depends on it.
const FORMAT: u8 = 1;

/// Tracks of series by their identity, and the fits that serve them.
#[derive(Default)]
pub struct Live {
    tracks: BTreeMap<String, Track>,
    fits: Fits,
    /// Weights that series may begin with when a family learns them anew, by family and series, and when they were learned.
    /// They are not kept over a restart, after which a family begins at its seed again.
    learned: BTreeMap<(String, String), (Vec<f32>, i64)>,
    /// What held-out folds said of a family on a series, by both names; nor is that kept over a restart.
    judged: BTreeMap<(String, String), Judged>,
}

/// What held-out folds said.
struct Judged {
    accuracy: Option<Accuracy>,
    /// The series' end then.
    end_ms: i64,
    at_ms: i64,
}

impl Live {
    /// What a family learned of each of a window's series last.
    pub fn learned(&self, family: &str, window: &Window<'_>) -> Vec<Option<Vec<f32>>> {
        let of = |s: usize| self.learned.get(&(family.into(), window.name(s).into())).map(|(own, _)| own.clone());
        (0..window.series_count()).map(of).collect()
    }

    /// Takes note of what a family learned of a window's series.
    pub fn learn(&mut self, family: &str, window: &Window<'_>, fitted: &dyn Fitted, now_ms: i64) {
        for s in 0..window.series_count() {
            if let Some(weights) = fitted.learned(s) {
                self.learned.insert((family.into(), window.name(s).into()), (weights.to_vec(), now_ms));
            }
        }
    }

    /// What held-out folds said of a family on one of a window's series, `None` inside where there were none; `None` where that
    /// was never asked, or so much of the series has come since.
    pub fn judged(&self, family: &str, window: &Window<'_>, series: usize, stale_ms: i64) -> Option<Option<&Accuracy>> {
        let judged = self.judged.get(&(family.into(), window.name(series).into()))?;
        let come_ms = window.end_ms(series) - judged.end_ms;
        (0..stale_ms).contains(&come_ms).then_some(judged.accuracy.as_ref())
    }

    /// Takes note of that.
    pub fn judge(&mut self, family: &str, window: &Window<'_>, series: usize, accuracy: Option<Accuracy>, at_ms: i64) {
        let judged = Judged { accuracy, end_ms: window.end_ms(series), at_ms };
        self.judged.insert((family.into(), window.name(series).into()), judged);
    }

    /// The track of a series, if it was ever served.
    pub fn track(&self, series: &str) -> Option<&Track> {
        self.tracks.get(series)
    }

    /// The track of a series, a new one where it has none.
    pub fn track_mut(&mut self, series: &str) -> &mut Track {
        self.tracks.entry(series.into()).or_default()
    }

    /// Judges what was said of a window's series by what it shows, and tells what the next forecast should heed.
    pub fn wish(&mut self, window: &Window<'_>, series: usize) -> Wish {
        let track = self.track_mut(window.name(series));
        track.observe(window.start_ms(series), window.step_ms(), window.values(series));
        Wish { champion: track.wish().map(Into::into), width: track.width(), lived: track.lived() }
    }

    /// The same of all of a window's series.
    pub fn wishes(&mut self, window: &Window<'_>) -> Vec<Wish> {
        (0..window.series_count()).map(|series| self.wish(window, series)).collect()
    }

    /// Takes note of what was said of each of a window's series, to judge it later.
    pub fn note(&mut self, window: &Window<'_>, said: Vec<Option<Said>>) {
        for (series, said) in said.into_iter().enumerate() {
            if let Some(said) = said {
                self.track_mut(window.name(series)).serve(said);
            }
        }
    }

    /// Drops the tracks of series that were last served before a time, and fits that are older.
    pub fn forget(&mut self, before_ms: i64) {
        self.tracks.retain(|_, track| track.last_ms().is_some_and(|last| last >= before_ms));
        self.fits.forget(before_ms);
        self.learned.retain(|_, (_, learned_ms)| *learned_ms >= before_ms);
        self.judged.retain(|_, judged| judged.at_ms >= before_ms);
    }

    /// The fits that go on from issue to issue.
    pub fn fits(&self) -> &Fits {
        &self.fits
    }

    /// The same to be moved on.
    pub fn fits_mut(&mut self) -> &mut Fits {
        &mut self.fits
    }

    /// The same tracks with these fits.
    #[must_use]
    pub fn with_fits(self, fits: Fits) -> Self {
        Self { fits, ..self }
    }

    /// Every series with its track, sorted.
    pub fn tracks(&self) -> impl ExactSizeIterator<Item = (&str, &Track)> {
        self.tracks.iter().map(|(series, track)| (series.as_str(), track))
    }
}

impl FromIterator<(String, Track)> for Live {
    fn from_iter<T: IntoIterator<Item = (String, Track)>>(tracks: T) -> Self {
        Self { tracks: tracks.into_iter().collect(), ..Self::default() }
    }
}

impl std::fmt::Debug for Live {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Live").field("tracks", &self.tracks).finish_non_exhaustive()
    }
}

/// A track as bytes, read back equal by [`decode`].
pub(crate) fn encode(track: &Track) -> Vec<u8> {
    postcard::to_extend(track, vec![FORMAT]).expect("a vector takes every track")
}

/// A track from what [`encode`] wrote.
pub(crate) fn decode(bytes: &[u8]) -> Result<Track, DecodeError> {
    let (&found, rest) = bytes.split_first().ok_or(DecodeError::Damaged)?;
    if found != FORMAT {
        return Err(DecodeError::Format { found, known: FORMAT });
    }
    postcard::from_bytes(rest).map_err(|_| DecodeError::Damaged)
}

#[cfg(test)]
pub(crate) mod tests {
    use foreshadow_models::live::Said;

    use super::*;

    /// Whether the same is known live of the same series.
    pub(crate) fn same_tracks(one: &Live, other: &Live) -> bool {
        one.tracks().eq(other.tracks())
    }

    /// A track that was served by a family at a cutoff.
    pub(crate) fn served(champion: &str, cutoff_ms: i64) -> Track {
        let mut track = Track::default();
        track.serve(Said {
            cutoff_ms,
            times_ms: vec![cutoff_ms + 1_000, cutoff_ms + 2_000],
            champion: champion.into(),
            recommended: champion.into(),
            stand_in: "naive".into(),
            promised: Some(0.25),
            values: vec![(champion.into(), vec![1.0, 1e300]), ("naive".into(), vec![0.1 + 0.2, -0.0])],
            band: vec![(0.5, 1.5); 2],
            outside: (0.025, 0.025),
        });
        track
    }

    #[test]
    fn bytes_read_back_equal_and_damage_is_told() {
        let mut track = served("ets", 5_000);
        track.observe(6_000, 1_000, &[1.25]);
        let bytes = encode(&track);
        assert_eq!(decode(&bytes).unwrap(), track);
        for cut in 0..bytes.len() {
            assert_eq!(decode(&bytes[..cut]), Err(DecodeError::Damaged), "{cut}");
        }
        let later = [&[9], &bytes[1..]].concat();
        assert_eq!(decode(&later), Err(DecodeError::Format { found: 9, known: 1 }));
    }
}
