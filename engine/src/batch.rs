//! A fleet in batches that fit in memory.

/// Series that are worked on together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// Their indices, in the order that was asked for.
    pub series: Vec<usize>,
    /// What they take together.
    pub bytes: u64,
}

/// Parts a fleet into batches of at most `budget_bytes`: in their order, but for those that are tied, which follow the
/// first of them. Tied series that take more than the budget together are a batch of their own, as is a single series
/// that does.
///
/// - `order`: every series once.
/// - `bytes`: what each series takes, by its index.
/// - `ties`: series that no two batches may share.
pub fn batches(order: &[usize], bytes: &[u64], ties: &[Vec<usize>], budget_bytes: u64) -> Vec<Batch> {
    let mut place = vec![0; bytes.len()];
    order.iter().enumerate().for_each(|(at, series)| place[*series] = at);
    // The first of the series that each hangs together with, by its place in the order.
    let mut first: Vec<usize> = (0..order.len()).collect();
    for tie in ties {
        let own: Vec<usize> = tie.iter().map(|series| root(&mut first, place[*series])).collect();
        let least = own.iter().copied().min().unwrap_or_default();
        own.into_iter().for_each(|own| first[own] = least);
    }
    let mut together: Vec<Batch> = vec![Batch::default(); order.len()];
    for (at, series) in order.iter().enumerate() {
        let own = &mut together[root(&mut first, at)];
        own.series.push(*series);
        own.bytes += bytes[*series];
    }
    let mut batches: Vec<Batch> = Vec::new();
    for own in together.into_iter().filter(|own| !own.series.is_empty()) {
        match batches.last_mut().filter(|last| last.bytes + own.bytes <= budget_bytes) {
            None => batches.push(own),
            Some(last) => {
                last.series.extend(own.series);
                last.bytes += own.bytes;
            }
        }
    }
    batches
}

/// The first place that a place hangs together with; the way there is halved for the next who goes it.
fn root(first: &mut [usize], mut at: usize) -> usize {
    while first[at] != at {
        first[at] = first[first[at]];
        at = first[at];
    }
    at
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parted(order: &[usize], bytes: &[u64], ties: &[Vec<usize>], budget: u64) -> Vec<Vec<usize>> {
        batches(order, bytes, ties, budget).into_iter().map(|batch| batch.series).collect()
    }

    #[test]
    fn batches_are_as_full_as_the_budget_allows_and_ties_are_kept() {
        let bytes = [4, 4, 4, 4, 4];
        assert_eq!(parted(&[0, 1, 2, 3, 4], &bytes, &[], 100), [vec![0, 1, 2, 3, 4]]);
        assert_eq!(parted(&[4, 3, 2, 1, 0], &bytes, &[], 9), [vec![4, 3], vec![2, 1], vec![0]]);
        // 1 and 4 hang together by way of 3.
        let ties = [vec![1, 3], vec![4, 3]];
        assert_eq!(parted(&[0, 1, 2, 3, 4], &bytes, &ties, 9), [vec![0], vec![1, 3, 4], vec![2]]);
        assert_eq!(parted(&[0, 1], &[50, 1], &[], 9), [vec![0], vec![1]], "what is too large for all is alone");
        assert!(parted(&[], &[], &[], 9).is_empty());
    }

    proptest! {
        #[test]
        fn every_series_is_in_one_batch_with_all_that_it_is_tied_to(
            bytes in proptest::collection::vec(0_u64..20, 1..40),
            pairs in proptest::collection::vec((0_usize..40, 0_usize..40), 0..12),
            budget in 0_u64..100,
        ) {
            let order: Vec<usize> = (0..bytes.len()).rev().collect();
            let ties: Vec<Vec<usize>> = pairs.iter().map(|(a, b)| vec![a % bytes.len(), b % bytes.len()]).collect();
            let made = batches(&order, &bytes, &ties, budget);
            let mut all: Vec<usize> = made.iter().flat_map(|batch| batch.series.clone()).collect();
            all.sort_unstable();
            prop_assert_eq!(all, (0..bytes.len()).collect::<Vec<_>>());
            let batch_of = |series: usize| made.iter().position(|batch| batch.series.contains(&series));
            prop_assert!(ties.iter().all(|tie| batch_of(tie[0]) == batch_of(tie[1])));
            for batch in &made {
                prop_assert_eq!(batch.bytes, batch.series.iter().map(|series| bytes[*series]).sum::<u64>());
                let is_tied = |series: &usize| ties.iter().any(|tie| tie[0] != tie[1] && tie.contains(series));
                prop_assert!(batch.bytes <= budget || batch.series.len() == 1 || batch.series.iter().all(is_tied));
            }
        }
    }
}
