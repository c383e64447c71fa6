//! The proof: what the present model and the new one reach on the same photos, which neither has learnt from.

use std::collections::HashMap;
use std::sync::Arc;

use tch::{Kind, Tensor};

use super::dataset::{Dataset, Split, rows_of};
use super::report::{Example, Focus, Interval, Proof, ProofRow, Score, Task};
use crate::evaluate::Evaluation;
use crate::model::ModelError;
use crate::photo::{Metric, Photo};

/// Queries searched with at a time.
const CHUNK: i64 = 256;
/// Below this the interval is so wide that nothing can be said.
pub const MIN_QUERIES: u64 = 20;
/// Results shown for an example.
const EXAMPLE_RESULTS: usize = 5;
const EXAMPLES: usize = 4;
/// A new model may be this much worse at one task where it is better at another: half a point of thousands of queries is
/// noise, and one of few queries is already more than that.
const TOLERANCE: f64 = 0.005;
/// Queries of a task and split at most: their interval is narrow enough, and a huge folder takes no longer.
const MAX_QUERIES: usize = 2000;

/// Embeddings `[n, dimension]` of all photos of a data set, and how they are compared.
#[derive(Debug)]
pub struct Embedded {
    pub rows: Tensor,
    pub metric: Metric,
}

/// What one model finds at one task, query by query, over one or more splits.
#[derive(Debug, Default)]
pub struct Tally {
    evaluation: Evaluation,
    gallery: u64,
    /// MAP@R of each query, for its standard error.
    precisions: Vec<f64>,
    /// For each query its position, and those of its first results.
    found: Vec<(usize, Vec<usize>)>,
}

impl Tally {
    /// Searches `queries` among `gallery`, positions in the data set; a query never finds itself. Right is what has the
    /// same label.
    ///
    /// # Errors
    /// When libtorch fails.
    pub fn add(
        &mut self,
        data: &Dataset,
        embedded: &Embedded,
        queries: &[usize],
        gallery: &[usize],
    ) -> Result<(), ModelError> {
        let labels = data.labels_of(gallery);
        let mut sizes: HashMap<i64, usize> = HashMap::new();
        labels.iter().for_each(|label| *sizes.entry(*label).or_default() += 1);
        let largest = queries.iter().filter_map(|query| sizes.get(&data.labels[*query])).max().copied().unwrap_or(0);
        let k = (largest.max(EXAMPLE_RESULTS) + 1).min(gallery.len());
        let there = rows_of(&embedded.rows, gallery)?;
        let in_gallery: std::collections::HashSet<usize> = gallery.iter().copied().collect();
        for some in queries.chunks(CHUNK as usize) {
            let nearest = nearest(&rows_of(&embedded.rows, some)?, &there, embedded.metric, k)?;
            for (query, nearest) in some.iter().zip(nearest.chunks_exact(k)) {
                let label = data.labels[*query];
                let others: Vec<usize> =
                    nearest.iter().map(|n| gallery[*n as usize]).filter(|other| other != query).collect();
                let itself = usize::from(in_gallery.contains(query));
                let relevant = sizes.get(&label).copied().unwrap_or(0).saturating_sub(itself);
                self.count(others.iter().map(|other| data.labels[*other] == label), relevant);
                self.found.push((*query, others.into_iter().take(EXAMPLE_RESULTS).collect()));
            }
        }
        self.gallery = self.gallery.max(gallery.len() as u64);
        Ok(())
    }

    /// Searches with altered views, `[queries.len(), dimension]`; right is only the photo that a view was made of.
    ///
    /// # Errors
    /// When libtorch fails.
    pub fn add_views(&mut self, embedded: &Embedded, views: &Tensor, queries: &[usize]) -> Result<(), ModelError> {
        let count = embedded.rows.size()[0];
        let k = (EXAMPLE_RESULTS as i64).min(count) as usize;
        let nearest = nearest(views, &embedded.rows, embedded.metric, k)?;
        for (query, nearest) in queries.iter().zip(nearest.chunks_exact(k.max(1))) {
            self.count(nearest.iter().map(|other| *other as usize == *query), 1);
            self.found.push((*query, nearest.iter().map(|other| *other as usize).collect()));
        }
        self.gallery = self.gallery.max(count as u64);
        Ok(())
    }

    fn count(&mut self, results: impl Iterator<Item = bool>, relevant: usize) {
        let results: Vec<bool> = results.collect();
        let mut one = Evaluation::default();
        one.add(results.iter().copied(), relevant);
        self.precisions.push(one.quality().map_at_r);
        self.evaluation.add(results, relevant);
    }

    /// Queries so far.
    pub fn queries(&self) -> u64 {
        self.precisions.len() as u64
    }

    /// R@1 so far.
    pub fn recall_at_1(&self) -> f64 {
        self.evaluation.quality().recall_at_1
    }

    /// What was reached so far, with its intervals.
    pub fn score(&self) -> Score {
        let quality = self.evaluation.quality();
        Score {
            recall_at_1: wilson(quality.recall_at_1, quality.queries),
            recall_at_5: wilson(quality.recall_at_5, quality.queries),
            map_at_r: mean(&self.precisions),
        }
    }
}

/// Positions of the `k` nearest rows of `gallery` for each row of `queries`, the nearest first.
pub(super) fn nearest(queries: &Tensor, gallery: &Tensor, metric: Metric, k: usize) -> Result<Vec<i64>, ModelError> {
    let _no_grad = tch::no_grad_guard();
    let products = queries.f_matmul(&gallery.f_transpose(0, 1)?)?;
    let similarity = match metric {
        Metric::Cosine => products,
        // Minus the squared distance, but for the query's own length, which changes no order.
        Metric::Euclidean => {
            let squares = gallery.f_square()?.f_sum_dim_intlist([1i64].as_slice(), false, Kind::Float)?;
            products.f_mul_scalar(2.0)?.f_sub(&squares)?
        }
    };
    let (_, positions) = similarity.f_topk(k as i64, 1, true, true)?;
    Ok(Vec::<i64>::try_from(positions.f_contiguous()?.f_view([-1])?)?)
}

/// Wilson's 95 % interval of a share (Wilson 1927, "Probable Inference").
fn wilson(share: f64, count: u64) -> Interval {
    if count == 0 {
        return Interval::default();
    }
    let (z, n) = (1.96, count as f64);
    let middle = (share + z * z / (2.0 * n)) / (1.0 + z * z / n);
    let half = z / (1.0 + z * z / n) * (share * (1.0 - share) / n + z * z / (4.0 * n * n)).sqrt();
    Interval { value: share, low: (middle - half).clamp(0.0, share), high: (middle + half).clamp(share, 1.0) }
}

/// A mean with its 95 % interval by the standard error.
fn mean(values: &[f64]) -> Interval {
    let (mean, error) = mean_and_error(values);
    let half = 1.96 * error;
    Interval { value: mean, low: (mean - half).max(0.0), high: (mean + half).min(1.0) }
}

/// A mean with its standard error; 0 of nothing.
fn mean_and_error(values: &[f64]) -> (f64, f64) {
    let n = values.len().max(1) as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0).max(1.0);
    (mean, (variance / n).sqrt())
}

/// The tallies of the present model and the new one at every task.
#[derive(Debug, Default)]
pub struct Comparison {
    pub seen: [Tally; 2],
    pub unseen: [Tally; 2],
    pub views: [Tally; 2],
}

impl Comparison {
    /// Measures both models, the present one first, on a split.
    ///
    /// # Errors
    /// When libtorch fails.
    pub fn add(&mut self, data: &Dataset, models: [&Embedded; 2], split: &Split) -> Result<(), ModelError> {
        for (number, embedded) in models.into_iter().enumerate() {
            self.seen[number].add(data, embedded, &some_of(&split.seen, MAX_QUERIES), &split.learn)?;
            self.unseen[number].add(data, embedded, &some_of(&split.unseen, MAX_QUERIES), &split.unseen)?;
        }
        Ok(())
    }

    /// The proof. `earlier` is what the present model reached at its own training, where that was on the same photos:
    /// it has learnt from those that are set aside now, and would be flattered by them.
    pub fn proof(self, data: &Dataset, focus: Focus, folds: u32, earlier: Option<&Proof>) -> Proof {
        let examples = self.examples(data);
        let tasks =
            [(Task::SeenSpecies, self.seen), (Task::UnseenSpecies, self.unseen), (Task::AlteredViews, self.views)];
        let measured = tasks.into_iter().filter(|(_, [before, _])| before.queries() >= MIN_QUERIES);
        let (rows, gains): (Vec<ProofRow>, Vec<Gain>) = measured
            .map(|(task, [before, after])| {
                let then = earlier.and_then(|proof| proof.rows.iter().find(|row| row.task == task));
                let row = ProofRow {
                    task,
                    queries: after.queries(),
                    gallery: after.gallery,
                    before: then.map_or_else(|| before.score(), |row| row.after),
                    after: after.score(),
                };
                (row, if then.is_some() { Gain::apart(&row) } else { Gain::paired(&row, &before, &after) })
            })
            .unzip();
        let better = is_better(&gains, focus);
        let verdict = verdict(&rows, better);
        Proof { rows, folds, better, verdict, examples }
    }

    /// Queries whose first results changed most, the gains first.
    fn examples(&self, data: &Dataset) -> Vec<Example> {
        let mut changed: Vec<(i64, Example)> = Vec::new();
        for [before, after] in [&self.seen, &self.unseen, &self.views] {
            for ((query, old), (_, new)) in before.found.iter().zip(&after.found) {
                let label = data.labels[*query];
                let right = |other: &usize| if label < 0 { other == query } else { data.labels[*other] == label };
                let count = |found: &[usize]| found.iter().filter(|other| right(other)).count() as i64;
                let photos = |found: &[usize]| -> Vec<Arc<Photo>> {
                    found.iter().map(|other| Arc::clone(&data.photos[*other])).collect()
                };
                let example =
                    Example { query: Arc::clone(&data.photos[*query]), before: photos(old), after: photos(new) };
                changed.push((count(new) - count(old), example));
            }
        }
        // Mostly gains, and one loss where there is one: an honest selection shows both.
        changed.sort_by_key(|(gain, _)| -gain);
        let worst = changed.last().filter(|(gain, _)| *gain < 0).map(|(_, example)| example.clone());
        let gains = changed.into_iter().filter(|(gain, _)| *gain > 0).map(|(_, example)| example);
        gains.take(EXAMPLES - usize::from(worst.is_some())).chain(worst).collect()
    }
}

/// At most `most` of the positions, spread evenly.
pub(super) fn some_of(positions: &[usize], most: usize) -> Vec<usize> {
    let count = positions.len().min(most);
    (0..count).map(|number| positions[number * positions.len() / count]).collect()
}

/// How much better the new model is at a task.
#[derive(Clone, Copy, Debug)]
struct Gain {
    task: Task,
    recall: f64,
    map: f64,
    /// The lower end of the 95 % interval of `map`.
    map_at_least: f64,
}

impl Gain {
    /// Query by query: what is hard for both models does not blur their difference.
    fn paired(row: &ProofRow, before: &Tally, after: &Tally) -> Self {
        let gains: Vec<f64> = after.precisions.iter().zip(&before.precisions).map(|(a, b)| a - b).collect();
        let (map, deviation) = mean_and_error(&gains);
        Self { map, map_at_least: map - 1.96 * deviation, ..Self::apart(row) }
    }

    /// Where only the earlier model's averages are known.
    fn apart(row: &ProofRow) -> Self {
        let half = |interval: &Interval| (interval.high - interval.low) / 2.0;
        let map = row.after.map_at_r.value - row.before.map_at_r.value;
        let spread = half(&row.after.map_at_r).hypot(half(&row.before.map_at_r));
        let recall = row.after.recall_at_1.value - row.before.recall_at_1.value;
        Self { task: row.task, recall, map, map_at_least: map - spread }
    }
}

/// Better is a model that is not worse at any task that counts, in R@1 and in MAP@R, and for which the gain in MAP@R at
/// one of them is more than chance: its 95 % interval does not reach down to 0. With few queries that takes a large gain;
/// without such evidence the present model stays.
fn is_better(gains: &[Gain], focus: Focus) -> bool {
    let mut counted =
        gains.iter().filter(|gain| focus == Focus::NewSpeciesToo || gain.task != Task::UnseenSpecies).peekable();
    let any = counted.peek().is_some();
    let (mut worse, mut evidence) = (false, false);
    for gain in counted {
        worse |= gain.recall < -TOLERANCE || gain.map < -TOLERANCE;
        evidence |= gain.map_at_least > 0.0;
    }
    any && !worse && evidence
}

fn verdict(rows: &[ProofRow], better: bool) -> String {
    let percent = |value: f64| format!("{:.1} %", value * 100.0);
    let sentence = |row: &ProofRow| {
        let what = match row.task {
            Task::SeenSpecies => "For photos of your species that the model had not seen",
            Task::UnseenSpecies => "For species that it had not seen at all",
            Task::AlteredViews => "For strongly altered views that have to find their own photo",
        };
        let compared = |name: &str, score: fn(&Score) -> &Interval| {
            let (before, after) = (percent(score(&row.before).value), percent(score(&row.after).value));
            let before = if before == after { "as before".to_owned() } else { format!("before: {before}") };
            format!("{name} {after} ({before})")
        };
        let first = compared("the first result is right in", |score| &score.recall_at_1);
        let ranking = compared("the whole ranking scores", |score| &score.map_at_r);
        if row.task.has_one_answer() { format!("{what}, {first}.") } else { format!("{what}, {first}, and {ranking}.") }
    };
    let mut sentences = vec![match (rows.is_empty(), better) {
        (true, _) => "Too few photos to measure whether the new model is better; the present one stays in use.".into(),
        (false, true) => "The new model is better.".to_owned(),
        (false, false) => "The new model is not better; the present one stays in use.".into(),
    }];
    sentences.extend(rows.iter().map(sentence));
    sentences.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(task: Task, before: f64, after: f64) -> ProofRow {
        let score = |value| {
            let interval = Interval { value, low: value, high: value };
            Score { recall_at_1: interval, recall_at_5: interval, map_at_r: interval }
        };
        ProofRow { task, queries: 100, gallery: 100, before: score(before), after: score(after) }
    }

    #[test]
    fn wilson_equals_the_textbook() {
        // 90 of 100: 0.8256 to 0.9448.
        let interval = wilson(0.9, 100);
        assert!((interval.low - 0.8256).abs() < 1e-3 && (interval.high - 0.9448).abs() < 1e-3, "{interval:?}");
        assert_eq!(wilson(1.0, 10).high, 1.0);
        assert_eq!(wilson(0.0, 10).low, 0.0);
    }

    #[test]
    fn a_loss_at_one_task_is_no_gain_unless_it_does_not_matter() {
        let rows = [row(Task::SeenSpecies, 0.8, 0.9), row(Task::UnseenSpecies, 0.9, 0.85)];
        let gains = rows.map(|row| Gain::apart(&row));
        assert!(!is_better(&gains, Focus::NewSpeciesToo));
        assert!(is_better(&gains, Focus::OnlyThese));
        assert!(!is_better(&[Gain::apart(&row(Task::SeenSpecies, 0.8, 0.8))], Focus::NewSpeciesToo));
        assert!(!is_better(&[], Focus::NewSpeciesToo));
        assert!(verdict(&rows, false).contains("not better"));
        let both = verdict(&[row(Task::SeenSpecies, 0.8, 0.9)], true);
        assert!(both.contains("right in 90.0 % (before: 80.0 %), and the whole ranking scores 90.0 %"), "{both}");
        assert!(verdict(&[], false).contains("Too few photos"));
    }

    #[test]
    fn a_gain_has_to_be_more_than_chance() {
        let tally = |precisions: &[f64]| Tally { precisions: precisions.to_vec(), ..Tally::default() };
        let row = row(Task::SeenSpecies, 0.8, 0.8);
        // One query of twenty gained, the others did not change: its interval reaches below 0.
        let (before, mut after) = (vec![0.5; 20], vec![0.5; 20]);
        after[3] = 1.0;
        assert!(!is_better(&[Gain::paired(&row, &tally(&before), &tally(&after))], Focus::default()));
        // All gained a little.
        let after = vec![0.52; 20];
        assert!(is_better(&[Gain::paired(&row, &tally(&before), &tally(&after))], Focus::default()));
    }

    #[test]
    fn queries_are_thinned_out_evenly() {
        assert_eq!(some_of(&[5, 6, 7], MAX_QUERIES), [5, 6, 7]);
        let some = some_of(&(0..10_000).collect::<Vec<_>>(), MAX_QUERIES);
        assert_eq!((some.len(), some[0], some[1999]), (MAX_QUERIES, 0, 9995));
    }

    #[test]
    fn the_nearest_by_either_metric() {
        let gallery = Tensor::from_slice(&[10.0f32, 0.0, 1.0, 1.0, 0.0, 1.0]).view([3, 2]);
        let query = Tensor::from_slice(&[1.0f32, 0.0]).view([1, 2]);
        assert_eq!(nearest(&query, &gallery, Metric::Cosine, 2).unwrap(), [0, 1]);
        assert_eq!(nearest(&query, &gallery, Metric::Euclidean, 2).unwrap(), [1, 2]);
    }
}
