//! A Prometheus server as a source: raw samples of selectors, or expressions resampled by a step.
//!
//! Source: Prometheus documentation, HTTP API, "Instant queries" and "Range queries".

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use reqwest::Url;

use super::{SeriesKey, Spool};

mod answer;
mod error;
mod fetch;

pub use error::PrometheusError;

use answer::Series;
use fetch::Server;

/// A server and what to ask it for.
#[derive(Clone, Debug, PartialEq)]
pub struct PrometheusSpec {
    /// Where its HTTP API lies.
    pub url: Url,
    /// Selectors, or any expression when `step_ms` is set.
    pub queries: Vec<String>,
    /// How far back.
    pub range_ms: i64,
    /// Resample by this step instead of taking raw samples.
    pub step_ms: Option<i64>,
    /// Longest wait for one answer.
    pub timeout: Duration,
    /// Further attempts after a fault that may pass.
    pub retries: u32,
}

/// Points of one series that `query_range` gives in one answer, under the 11,000 that it refuses to pass.
const RANGE_POINTS: i64 = 10_000;
/// First slice of raw samples: a day, before it is known how dense they are.
const FIRST_SLICE_MS: i64 = 86_400_000;
/// Samples aimed at in one answer: about 23 bytes each in JSON.
const SLICE_SAMPLES: i64 = 1_000_000;
/// The shortest slice of raw samples worth asking for.
const SHORTEST_SLICE_MS: i64 = 60_000;

impl fmt::Display for PrometheusSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&fetch::shown(&self.url))
    }
}

impl PrometheusSpec {
    /// Reads every query from `range_ms` before `now_ms` until then. Blocks; not to be called from an async
    /// task.
    ///
    /// # Errors
    /// [`PrometheusError`] names the server and the query, and tells a server that is down from one that is
    /// slow, refuses or makes no sense.
    pub fn read_into(&self, now_ms: i64, spool: &mut Spool) -> Result<(), PrometheusError> {
        let server = Server::new(self)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|source| PrometheusError::Start { source: Box::new(source) })?;
        let mut gather = Gather { spec: self, query: 0, known: HashMap::new(), spool };
        for (at, query) in self.queries.iter().enumerate() {
            gather.query = at;
            runtime.block_on(async {
                match self.step_ms {
                    None => self.raw(&server, query, now_ms, &mut gather).await,
                    Some(step_ms) => self.resampled(&server, query, now_ms, step_ms, &mut gather).await,
                }
            })?;
        }
        if spool.series_count() == 0 {
            return Err(PrometheusError::Nothing { server: fetch::shown(&self.url), queries: self.queries.join(", ") });
        }
        Ok(())
    }

    /// Raw samples, `selector[range]` by slices of time that grow and shrink with how dense they are.
    async fn raw(
        &self,
        server: &Server<'_>,
        query: &str,
        now_ms: i64,
        gather: &mut Gather<'_>,
    ) -> Result<(), PrometheusError> {
        let mut from_ms = now_ms - self.range_ms;
        let mut slice_ms = FIRST_SLICE_MS;
        while from_ms < now_ms {
            let to_ms = now_ms.min(from_ms + slice_ms);
            let span_ms = to_ms - from_ms;
            let ranged = format!("{query}[{span_ms}ms]");
            let asked = server.ask("query", &[("query", &ranged), ("time", &seconds(to_ms))]).await;
            match asked {
                Err(PrometheusError::TooMuch { .. }) if span_ms > SHORTEST_SLICE_MS => {
                    slice_ms = (span_ms / 4).max(SHORTEST_SLICE_MS);
                }
                Err(error) => return Err(error),
                Ok(series) => {
                    let samples = series.iter().map(|series| series.values.len() as i64).sum::<i64>().max(1);
                    gather.take(series)?;
                    // At most four times longer at once: a dense spell may follow a sparse one.
                    let wanted = span_ms.saturating_mul(SLICE_SAMPLES) / samples;
                    slice_ms = wanted.clamp(SHORTEST_SLICE_MS, span_ms.saturating_mul(4).max(SHORTEST_SLICE_MS));
                    from_ms = to_ms;
                }
            }
        }
        Ok(())
    }

    /// An expression at multiples of the step, by slices that stay under the server's limit.
    async fn resampled(
        &self,
        server: &Server<'_>,
        query: &str,
        now_ms: i64,
        step_ms: i64,
        gather: &mut Gather<'_>,
    ) -> Result<(), PrometheusError> {
        let (first, last) = (-(self.range_ms - now_ms).div_euclid(step_ms), now_ms.div_euclid(step_ms));
        let mut from = first;
        while from <= last {
            let to = last.min(from + RANGE_POINTS - 1);
            let (start, end) = (seconds(from * step_ms), seconds(to * step_ms));
            let step = seconds(step_ms);
            let asked = [("query", query), ("start", &start), ("end", &end), ("step", &step)];
            gather.take(server.ask("query_range", &asked).await?)?;
            from = to + 1;
        }
        Ok(())
    }
}

fn seconds(ms: i64) -> String {
    format!("{}.{:03}", ms.div_euclid(1_000), ms.rem_euclid(1_000))
}

/// Series as their slices come, oldest first.
struct Gather<'a> {
    spec: &'a PrometheusSpec,
    /// The query that is answered.
    query: usize,
    known: HashMap<String, Known>,
    spool: &'a mut Spool,
}

/// A series that was met before.
struct Known {
    /// Of the first query that means it.
    query: usize,
    series: usize,
    last_ms: i64,
}

impl Gather<'_> {
    fn take(&mut self, slice: Vec<Series>) -> Result<(), PrometheusError> {
        for part in slice {
            let name = SeriesKey::new(part.metric).to_string();
            let (query, spool) = (self.query, &mut *self.spool);
            let known = self.known.entry(name).or_insert_with_key(|name| {
                let series = spool.add(name.clone());
                Known { query, series, last_ms: i64::MIN }
            });
            if known.query != query {
                if self.spec.step_ms.is_some() {
                    let queries = [known.query, query].map(|at| self.spec.queries[at].clone());
                    let series = spool.name(known.series).into();
                    return Err(PrometheusError::SameSeries { series, queries });
                }
                continue; // of two selectors that mean one raw series, the first has read it
            }
            // Before version 3 a range holds both its ends, so two slices may share a sample.
            let samples: Vec<(i64, f64)> = part.values.into_iter().filter(|(time, _)| *time > known.last_ms).collect();
            let times_ms: Vec<i64> = samples.iter().map(|(time_ms, _)| *time_ms).collect();
            known.last_ms = times_ms.last().copied().unwrap_or(known.last_ms);
            spool.extend(known.series, &times_ms, samples.into_iter().map(|(_, value)| value))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
