//! Retrieval quality by the protocol of the field: recall@k, R-precision and MAP@R over labelled queries.
//!
//! A result is right when it carries the query's label. MAP@R is that of Musgrave, Belongie and Lim 2020, "A Metric
//! Learning Reality Check". A query whose label no photo of the gallery has cannot be answered: as in their
//! pytorch-metric-learning, it is left out of the averages, and counted.

use std::collections::HashMap;

use serde::Serialize;

/// Averages over all queries; fractions from 0 to 1.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Quality {
    pub(crate) recall_at_1: f64,
    pub(crate) recall_at_5: f64,
    pub(crate) r_precision: f64,
    pub(crate) map_at_r: f64,
    /// Queries in the averages.
    pub(crate) queries: u64,
    /// Queries whose label no photo of the gallery has; they are in none of the averages.
    pub(crate) lone: u64,
    /// Queries that could not be read or have no label; they are in none of the averages.
    pub(crate) errors: u64,
}

/// Sums up one query after the other.
#[derive(Debug, Default)]
pub(crate) struct Evaluation {
    sums: [f64; 4],
    queries: u64,
    lone: u64,
    errors: u64,
}

impl Evaluation {
    /// Adds a query: for each result, the most similar first, whether it is right, and the number of right photos in
    /// the gallery. At least `max(5, relevant)` results, or the whole gallery, have to be given.
    pub(crate) fn add(&mut self, results: impl IntoIterator<Item = bool>, relevant: usize) {
        if relevant == 0 {
            self.lone += 1;
            return;
        }
        let ranked: Vec<bool> = results.into_iter().take(relevant.max(5)).collect();
        let within = |k: usize| f64::from(u8::from(ranked.iter().take(k).any(|right| *right)));
        let (mut right, mut precisions) = (0.0, 0.0);
        for (rank, _) in ranked.iter().take(relevant).enumerate().filter(|(_, right)| **right) {
            right += 1.0;
            precisions += right / (rank + 1) as f64;
        }
        let count = relevant as f64;
        for (sum, value) in self.sums.iter_mut().zip([within(1), within(5), right / count, precisions / count]) {
            *sum += value;
        }
        self.queries += 1;
    }

    /// Adds a query that could not be asked.
    pub(crate) fn add_error(&mut self) {
        self.errors += 1;
    }

    /// The averages so far.
    pub(crate) fn quality(&self) -> Quality {
        let [recall_at_1, recall_at_5, r_precision, map_at_r] =
            self.sums.map(|sum| if self.queries == 0 { 0.0 } else { sum / self.queries as f64 });
        Quality {
            recall_at_1,
            recall_at_5,
            r_precision,
            map_at_r,
            queries: self.queries,
            lone: self.lone,
            errors: self.errors,
        }
    }
}

/// How many times each label occurs.
pub(crate) fn count_labels<L: std::hash::Hash + Eq>(labels: impl IntoIterator<Item = L>) -> HashMap<L, usize> {
    let mut counts = HashMap::new();
    for label in labels {
        *counts.entry(label).or_default() += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quality_of(results: &[u8], relevant: usize) -> Quality {
        let mut evaluation = Evaluation::default();
        evaluation.add(results.iter().map(|right| *right == 1), relevant);
        evaluation.quality()
    }

    #[test]
    fn worked_examples() {
        // The example of Musgrave et al.: R = 10, only the first right.
        let quality = quality_of(&[1, 0, 0, 0, 0, 0, 0, 0, 0, 0], 10);
        assert_eq!((quality.recall_at_1, quality.r_precision, quality.map_at_r), (1.0, 0.1, 0.1));
        // Right at ranks 2 and 3 of R = 3: precisions 1/2 and 2/3.
        let quality = quality_of(&[0, 1, 1, 0, 1], 3);
        assert_eq!((quality.recall_at_1, quality.recall_at_5), (0.0, 1.0));
        assert!((quality.r_precision - 2.0 / 3.0).abs() < 1e-12);
        assert!((quality.map_at_r - (0.5 + 2.0 / 3.0) / 3.0).abs() < 1e-12);
        // Perfect, though the gallery has fewer right photos than five.
        assert_eq!(quality_of(&[1, 1, 0, 0, 0], 2).map_at_r, 1.0);
    }

    #[test]
    fn a_query_whose_label_the_gallery_lacks_is_in_no_average() {
        let mut evaluation = Evaluation::default();
        evaluation.add([false; 5], 0);
        evaluation.add([true, false], 1);
        let quality = evaluation.quality();
        assert_eq!((quality.recall_at_1, quality.map_at_r, quality.queries, quality.lone), (1.0, 1.0, 1, 1));
    }

    #[test]
    fn errors_are_counted_beside_the_averages() {
        let mut evaluation = Evaluation::default();
        evaluation.add([true], 1);
        evaluation.add_error();
        let quality = evaluation.quality();
        assert_eq!((quality.recall_at_1, quality.queries, quality.errors), (1.0, 1, 1));
    }
}
