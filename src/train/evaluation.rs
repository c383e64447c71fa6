//! The evaluation: what the model in use and the new one reach on the same photos, which the new one has not learnt from.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use tch::{Kind, Tensor};

use super::dataset::{Dataset, rows_of};
use super::holdout::Split;
use super::hyperparameters::MIN_QUERIES;
use crate::artefact::{EvaluationReport, Example, Focus, Interval, NotMeasured, Score, Task, TaskResult, Verdict};
use crate::evaluate::Evaluation;
use crate::model::ModelError;
use crate::photo::{Metric, Photo};
use crate::random::Random;

/// Queries searched with at a time.
const CHUNK: i64 = 256;
/// Results shown for an example.
const EXAMPLE_RESULTS: usize = 5;
const EXAMPLES: usize = 4;
/// A new model may be this much worse at one task where it is better at another: half a point of thousands of queries is
/// noise, and one of few queries is already more than that.
const TOLERANCE: f64 = 0.005;
/// Of a bootstrap.
const RESAMPLES: usize = 1000;
/// Queries of a task and split at most: their interval is narrow enough, and a huge folder takes no longer.
const MAX_QUERIES: usize = 2000;

/// Embeddings `[n, dimension]` of all photos of a data set, and how they are compared.
#[derive(Debug)]
pub struct ModelEmbeddings {
    pub rows: Tensor,
    pub metric: Metric,
}

/// What one model finds at one task, query by query, over one or more splits.
#[derive(Debug, Default)]
pub struct Tally {
    gallery: u64,
    queries: Vec<Query>,
    /// For each query its position, and those of its first results.
    found: Vec<(usize, Vec<usize>)>,
}

/// What one query found.
#[derive(Clone, Copy, Debug)]
struct Query {
    /// Its species, whose queries are not independent of each other; or the query itself where there is no species.
    cluster: usize,
    measures: Measures,
}

/// R@1, R@5 and MAP@R.
type Measures = [f64; 3];

impl Tally {
    /// Searches `queries` among `gallery`, positions among all photos; a query never finds itself. Right is what has the
    /// same label; `labels` are those of all photos.
    ///
    /// # Errors
    /// When libtorch fails.
    pub fn add(
        &mut self,
        labels: &[i64],
        embedded: &ModelEmbeddings,
        queries: &[usize],
        gallery: &[usize],
    ) -> Result<(), ModelError> {
        let mut sizes: HashMap<i64, usize> = HashMap::new();
        gallery.iter().for_each(|photo| *sizes.entry(labels[*photo]).or_default() += 1);
        let largest = queries.iter().filter_map(|query| sizes.get(&labels[*query])).max().copied().unwrap_or(0);
        let k = (largest.max(EXAMPLE_RESULTS) + 1).min(gallery.len());
        let there = rows_of(&embedded.rows, gallery)?;
        let in_gallery: std::collections::HashSet<usize> = gallery.iter().copied().collect();
        for some in queries.chunks(CHUNK as usize) {
            let nearest = nearest(&rows_of(&embedded.rows, some)?, &there, embedded.metric, k)?;
            for (query, nearest) in some.iter().zip(nearest.chunks_exact(k)) {
                let label = labels[*query];
                let others: Vec<usize> =
                    nearest.iter().map(|n| gallery[*n as usize]).filter(|other| other != query).collect();
                let itself = usize::from(in_gallery.contains(query));
                let relevant = sizes.get(&label).copied().unwrap_or(0).saturating_sub(itself);
                if relevant == 0 {
                    continue;
                }
                self.count(label as usize, others.iter().map(|other| labels[*other] == label), relevant);
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
    pub(crate) fn add_views(
        &mut self,
        embedded: &ModelEmbeddings,
        views: &Tensor,
        queries: &[usize],
    ) -> Result<(), ModelError> {
        let count = embedded.rows.size()[0];
        let k = (EXAMPLE_RESULTS as i64).min(count) as usize;
        let nearest = nearest(views, &embedded.rows, embedded.metric, k)?;
        for (query, nearest) in queries.iter().zip(nearest.chunks_exact(k.max(1))) {
            self.count(*query, nearest.iter().map(|other| *other as usize == *query), 1);
            self.found.push((*query, nearest.iter().map(|other| *other as usize).collect()));
        }
        self.gallery = self.gallery.max(count as u64);
        Ok(())
    }

    fn count(&mut self, cluster: usize, results: impl Iterator<Item = bool>, relevant: usize) {
        let mut one = Evaluation::default();
        one.add(results, relevant);
        let quality = one.quality();
        self.queries.push(Query { cluster, measures: [quality.recall_at_1, quality.recall_at_5, quality.map_at_r] });
    }

    /// Queries so far.
    pub fn queries(&self) -> u64 {
        self.queries.len() as u64
    }

    /// What was reached so far, with its intervals.
    pub fn score(&self) -> Score {
        let [recall_at_1, recall_at_5, map_at_r] = bootstrap(&self.queries);
        // Where nothing but right answers, or none, was found, resampling sees no variance at all.
        let at_least = |interval: Interval| {
            let independent = wilson(interval.value, self.queries());
            let (low, high) = (interval.low.min(independent.low), interval.high.max(independent.high));
            Interval { low, high, ..interval }
        };
        Score { recall_at_1: at_least(recall_at_1), recall_at_5: at_least(recall_at_5), map_at_r }
    }

    /// How much better this is than what was reached `before` with the same queries. Query by query: what is hard for both
    /// models does not blur their difference.
    fn gain(&self, before: &Self) -> Score {
        let pairs = self.queries.iter().zip(&before.queries);
        let gain = |(after, before): (&Query, &Query)| Query {
            cluster: after.cluster,
            measures: std::array::from_fn(|number| after.measures[number] - before.measures[number]),
        };
        let [recall_at_1, recall_at_5, map_at_r] = bootstrap(&pairs.map(gain).collect::<Vec<_>>());
        Score { recall_at_1, recall_at_5, map_at_r }
    }
}

/// Means with their 95 % intervals, by resampling clusters and then the queries within each (Davison and Hinkley 1997,
/// "Bootstrap Methods and their Application", section 3.8): queries of one species are right or wrong together, so that
/// there are fewer independent ones than queries.
fn bootstrap(queries: &[Query]) -> [Interval; 3] {
    let mut by_cluster: BTreeMap<usize, Vec<Measures>> = BTreeMap::new();
    for query in queries {
        by_cluster.entry(query.cluster).or_default().push(query.measures);
    }
    let clusters: Vec<Vec<Measures>> = by_cluster.into_values().collect();
    if clusters.is_empty() {
        return Default::default();
    }
    let mut random = Random::new(0);
    let mut means: [Vec<f64>; 3] = Default::default();
    for _ in 0..RESAMPLES {
        let (mut sums, mut count) = ([0.0; 3], 0);
        for _ in 0..clusters.len() {
            let cluster = &clusters[random.below(clusters.len())];
            for _ in 0..cluster.len() {
                let measures = cluster[random.below(cluster.len())];
                sums.iter_mut().zip(measures).for_each(|(sum, value)| *sum += value);
            }
            count += cluster.len();
        }
        means.iter_mut().zip(sums).for_each(|(means, sum)| means.push(sum / count as f64));
    }
    std::array::from_fn(|number| {
        let value = queries.iter().map(|query| query.measures[number]).sum::<f64>() / queries.len() as f64;
        means[number].sort_unstable_by(f64::total_cmp);
        let [low, high] = [0.025, 0.975].map(|share| means[number][(share * (RESAMPLES - 1) as f64).round() as usize]);
        Interval { value, low: low.min(value), high: high.max(value) }
    })
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

/// The tallies of the model in use and the new one at every task.
#[derive(Debug, Default)]
pub(crate) struct Comparison {
    pub(crate) seen: [Tally; 2],
    pub(crate) unseen: [Tally; 2],
    pub(crate) views: [Tally; 2],
}

impl Comparison {
    /// Measures both models, the present one first, on a split.
    ///
    /// # Errors
    /// When libtorch fails.
    pub(crate) fn add(
        &mut self,
        data: &Dataset,
        models: [&ModelEmbeddings; 2],
        split: &Split,
    ) -> Result<(), ModelError> {
        for (number, embedded) in models.into_iter().enumerate() {
            self.seen[number].add(&data.labels, embedded, &subsample(&split.seen, MAX_QUERIES), &split.learn)?;
            self.unseen[number].add(&data.labels, embedded, &subsample(&split.unseen, MAX_QUERIES), &split.unseen)?;
        }
        Ok(())
    }

    /// The report. `earlier` is what the model in use reached at its own training, where that was on the same photos:
    /// it has learnt from those that are held out now, and would be flattered by them.
    pub(crate) fn report(
        self,
        data: &Dataset,
        focus: Focus,
        folds: u32,
        earlier: Option<&EvaluationReport>,
        not_measured: Option<NotMeasured>,
    ) -> EvaluationReport {
        let examples = self.examples(data);
        let tasks =
            [(Task::SeenSpecies, self.seen), (Task::UnseenSpecies, self.unseen), (Task::AlteredViews, self.views)];
        let measured = tasks.into_iter().filter(|(_, [before, _])| before.queries() >= MIN_QUERIES as u64);
        let rows: Vec<TaskResult> = measured
            .map(|(task, [before, after])| {
                let then = earlier.and_then(|report| report.rows.iter().find(|row| row.task == task));
                let score = after.score();
                let (before, gain) = match then {
                    Some(row) => (row.after, gain_apart(&row.after, &score)),
                    None => (before.score(), after.gain(&before)),
                };
                TaskResult { task, queries: after.queries(), gallery: after.gallery, before, after: score, gain }
            })
            .collect();
        let verdict =
            verdict(&rows, focus).unwrap_or(Verdict::NotMeasured(not_measured.unwrap_or(NotMeasured::TooFewPhotos)));
        EvaluationReport {
            rows,
            folds,
            better: verdict == Verdict::Better,
            verdict,
            examples,
            ..EvaluationReport::default()
        }
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
pub(super) fn subsample(positions: &[usize], most: usize) -> Vec<usize> {
    let count = positions.len().min(most);
    (0..count).map(|number| positions[number * positions.len() / count]).collect()
}

/// How much better a score is than one of other queries, of which only the averages are known.
fn gain_apart(before: &Score, after: &Score) -> Score {
    let half = |interval: Interval| (interval.high - interval.low) / 2.0;
    let gain = |of: fn(&Score) -> Interval| {
        let (before, after) = (of(before), of(after));
        let (value, range) = (after.value - before.value, half(before).hypot(half(after)));
        Interval { value, low: value - range, high: value + range }
    };
    Score {
        recall_at_1: gain(|score| score.recall_at_1),
        recall_at_5: gain(|score| score.recall_at_5),
        map_at_r: gain(|score| score.map_at_r),
    }
}

/// Better is a model that is not worse at any task that counts, in R@1 and in MAP@R, and for which the gain in MAP@R at
/// one of them is more than chance: its 95 % interval does not reach down to 0. With few queries that takes a large gain;
/// without such evidence the model in use stays, and it is worse only where that, too, is more than chance. `None` where
/// no task that counts was measured.
fn verdict(rows: &[TaskResult], focus: Focus) -> Option<Verdict> {
    let mut counted = rows.iter().filter(|row| focus.asks_for(row.task)).peekable();
    counted.peek()?;
    let (mut worse, mut surely_worse, mut evidence) = (false, false, false);
    for TaskResult { gain, .. } in counted {
        let losses = [gain.recall_at_1, gain.map_at_r].into_iter().filter(matters_as_loss);
        losses.for_each(|loss| (worse, surely_worse) = (true, surely_worse || loss.is_loss()));
        evidence |= gain.map_at_r.is_gain();
    }
    Some(match (worse, evidence) {
        (true, true) => Verdict::Trade,
        (true, false) if surely_worse => Verdict::Worse,
        (false, true) => Verdict::Better,
        (_, false) => Verdict::NoClearDifference,
    })
}

/// Whether a difference is a loss that counts, be it chance or not.
pub(super) fn matters_as_loss(gain: &Interval) -> bool {
    gain.value < -TOLERANCE
}

/// A task at which both models were measured without any doubt, for tests.
#[cfg(test)]
pub(crate) fn certain(task: Task, before: f64, after: f64) -> TaskResult {
    let score = |value| {
        let interval = Interval { value, low: value, high: value };
        Score { recall_at_1: interval, recall_at_5: interval, map_at_r: interval }
    };
    let (before, after) = (score(before), score(after));
    TaskResult { task, queries: 100, gallery: 100, before, after, gain: gain_apart(&before, &after) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tally of queries that are all right or wrong: how many of each, by species.
    fn tally(species: &[(usize, usize)]) -> Tally {
        let mut tally = Tally::default();
        for (cluster, (right, wrong)) in species.iter().enumerate() {
            (0..right + wrong).for_each(|query| tally.count(cluster, std::iter::once(query < *right), 1));
        }
        tally
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
        let rows = [certain(Task::SeenSpecies, 0.8, 0.9), certain(Task::UnseenSpecies, 0.9, 0.85)];
        assert_eq!(verdict(&rows, Focus::NewSpeciesToo), Some(Verdict::Trade));
        assert_eq!(verdict(&rows, Focus::OnlyThese), Some(Verdict::Better));
        let one = |after| verdict(&[certain(Task::SeenSpecies, 0.8, after)], Focus::NewSpeciesToo);
        assert_eq!(one(0.8), Some(Verdict::NoClearDifference));
        assert_eq!(one(0.7), Some(Verdict::Worse));
        assert_eq!(verdict(&[], Focus::NewSpeciesToo), None);
        // A loss that chance alone could bring is none.
        let mut perhaps = certain(Task::SeenSpecies, 0.8, 0.78);
        perhaps.gain.recall_at_1.high = 0.01;
        perhaps.gain.map_at_r.high = 0.01;
        assert_eq!(verdict(&[perhaps], Focus::NewSpeciesToo), Some(Verdict::NoClearDifference));
    }

    #[test]
    fn a_gain_has_to_be_more_than_chance() {
        let decide = |before: &Tally, after: &Tally| {
            let row = certain(Task::SeenSpecies, 0.8, 0.8);
            verdict(&[TaskResult { gain: after.gain(before), ..row }], Focus::default())
        };
        let before = tally(&[(5, 5); 4]);
        // One query of forty gained: its interval reaches below 0.
        assert_eq!(decide(&before, &tally(&[(6, 4), (5, 5), (5, 5), (5, 5)])), Some(Verdict::NoClearDifference));
        // All species gained.
        assert_eq!(decide(&before, &tally(&[(9, 1); 4])), Some(Verdict::Better));
        // One species gained all of it: queries of one species are one observation rather than ten.
        assert_eq!(decide(&before, &tally(&[(10, 0), (5, 5), (5, 5), (5, 5)])), Some(Verdict::NoClearDifference));
    }

    #[test]
    fn intervals_are_wider_where_species_are_right_or_wrong_together() {
        let width = |species: &[(usize, usize)]| {
            let Interval { value, low, high } = tally(species).score().map_at_r;
            assert_eq!(value, 0.5);
            high - low
        };
        let (mixed, together) =
            (width(&[(5, 5); 8]), width(&[(10, 0), (0, 10), (10, 0), (0, 10), (10, 0), (0, 10), (10, 0), (0, 10)]));
        // Of eighty independent queries 0.22, of eight species 0.69.
        assert!((0.15..0.4).contains(&mixed) && (0.5..0.8).contains(&together), "{mixed} {together}");
        // All right is not certain to stay so.
        let all = tally(&[(10, 0); 3]).score().recall_at_1;
        assert_eq!((all.value, all.high), (1.0, 1.0));
        assert!((0.85..0.92).contains(&all.low), "{all:?}");
        assert_eq!(Tally::default().score(), Score::default());
    }

    #[test]
    fn queries_are_thinned_out_evenly() {
        assert_eq!(subsample(&[5, 6, 7], MAX_QUERIES), [5, 6, 7]);
        let some = subsample(&(0..10_000).collect::<Vec<_>>(), MAX_QUERIES);
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
