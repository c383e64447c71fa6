//! All embeddings of a library in memory, in half precision as the catalog keeps them, and the exact search over them:
//! every row is compared. What bounds that is how fast memory can be read, so half precision makes it twice as fast as
//! floats would be, and all cores read at once.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use half::f16;
use half::slice::HalfFloatSliceExt;

use crate::photo::{HalfEmbedding, Metric, PhotoId};
use crate::system::cores;

/// Rows that are kept, shared and searched together.
const CHUNK: usize = 1024;
/// More threads than this wait for memory only.
const MAX_THREADS: usize = 8;
/// Parts of the table of positions: what is copied of it when a shared one changes.
const SHARDS: usize = 256;
/// Below this many numbers to compare a second thread takes longer to start than it saves.
const VALUES_A_THREAD: usize = 1 << 20;

/// A row and how it scores: the more, the more similar.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Scored {
    /// The inner product by the cosine; by the Euclidean distance minus its square.
    pub(crate) score: f32,
    pub(crate) id: PhotoId,
}

impl Scored {
    /// The best first; of equals the one that came into the library first.
    fn order(&self, other: &Self) -> std::cmp::Ordering {
        other.score.total_cmp(&self.score).then(self.id.cmp(&other.id))
    }
}

#[derive(Clone, Default)]
struct Chunk {
    /// `None` where the photo is gone.
    ids: Vec<Option<PhotoId>>,
    /// By the cosine what makes a row's length 1, which rounding to half precision has changed a little; otherwise 1.
    scales: Vec<f32>,
    values: Vec<f16>,
}

/// Where each photo's row is: a hash table in shards.
#[derive(Clone)]
struct Positions {
    shards: Vec<Arc<HashMap<PhotoId, usize>>>,
    count: usize,
}

impl Positions {
    fn new() -> Self {
        Self { shards: vec![Arc::default(); SHARDS], count: 0 }
    }

    /// Ids are given out in order, so the shards fill evenly.
    fn shard(id: PhotoId) -> usize {
        id.0.rem_euclid(SHARDS as i64) as usize
    }

    fn get(&self, id: PhotoId) -> Option<usize> {
        self.shards[Self::shard(id)].get(&id).copied()
    }

    /// Of a photo that has none yet.
    fn insert(&mut self, id: PhotoId, position: usize) {
        Arc::make_mut(&mut self.shards[Self::shard(id)]).insert(id, position);
        self.count += 1;
    }

    fn remove(&mut self, id: PhotoId) -> Option<usize> {
        let position = self.get(id)?;
        Arc::make_mut(&mut self.shards[Self::shard(id)]).remove(&id);
        self.count -= 1;
        Some(position)
    }
}

/// The embeddings of a library. A clone is cheap: it shares the rows and the table of their positions, each in parts
/// that are copied when they change.
#[derive(Clone)]
pub struct Rows {
    dimension: usize,
    metric: Metric,
    chunks: Vec<Arc<Chunk>>,
    positions: Positions,
    /// Rows whose photos are gone: the next ones take their places.
    free: Vec<usize>,
}

impl Rows {
    pub(crate) fn new(dimension: usize, metric: Metric) -> Self {
        Self { dimension, metric, chunks: Vec::new(), positions: Positions::new(), free: Vec::new() }
    }

    /// Photos that have a row.
    pub(crate) fn count(&self) -> usize {
        self.positions.count
    }

    pub(crate) fn dimension(&self) -> usize {
        self.dimension
    }

    pub(crate) fn contains(&self, id: PhotoId) -> bool {
        self.positions.get(id).is_some()
    }

    /// Adds a photo; `false` where it has a row already, or its embedding is of another dimension or no direction.
    pub(crate) fn add(&mut self, id: PhotoId, embedding: &HalfEmbedding) -> bool {
        let values = embedding.values();
        let floats = to_f32(values);
        let square = sum_of(&floats, &floats, Term::Product);
        let scale = match self.metric {
            Metric::Cosine => 1.0 / square.sqrt(),
            Metric::Euclidean => 1.0,
        };
        if values.len() != self.dimension || self.contains(id) || !(square.is_finite() && scale.is_finite()) {
            return false;
        }
        let position = self.free.pop().unwrap_or_else(|| self.end());
        if position == self.chunks.len() * CHUNK {
            self.chunks.push(Arc::default());
        }
        let (chunk, row) = (Arc::make_mut(&mut self.chunks[position / CHUNK]), position % CHUNK);
        if row < chunk.ids.len() {
            (chunk.ids[row], chunk.scales[row]) = (Some(id), scale);
            chunk.values[row * self.dimension..][..self.dimension].copy_from_slice(values);
        } else {
            chunk.ids.push(Some(id));
            chunk.scales.push(scale);
            chunk.values.extend_from_slice(values);
        }
        self.positions.insert(id, position);
        true
    }

    /// The position behind the last row.
    fn end(&self) -> usize {
        self.chunks.last().map_or(0, |last| (self.chunks.len() - 1) * CHUNK + last.ids.len())
    }

    /// Takes photos out; those that have no row are passed over.
    pub(crate) fn remove(&mut self, ids: &[PhotoId]) {
        for position in ids.iter().filter_map(|id| self.positions.remove(*id)) {
            Arc::make_mut(&mut self.chunks[position / CHUNK]).ids[position % CHUNK] = None;
            self.free.push(position);
        }
    }

    /// A photo's embedding, `dimension` floats.
    pub(crate) fn get(&self, id: PhotoId) -> Option<Vec<f32>> {
        let position = self.positions.get(id)?;
        let (chunk, row) = (&self.chunks[position / CHUNK], position % CHUNK);
        let mut values = to_f32(&chunk.values[row * self.dimension..][..self.dimension]);
        values.iter_mut().for_each(|value| *value *= chunk.scales[row]);
        Some(values)
    }

    /// All photos, in no order that means anything.
    pub(crate) fn ids(&self) -> impl Iterator<Item = PhotoId> + '_ {
        self.chunks.iter().flat_map(|chunk| chunk.ids.iter().copied().flatten())
    }

    /// The `k` rows that score best for each query of `dimension` floats, the best first.
    pub(crate) fn search(&self, queries: &[&[f32]], k: usize) -> Vec<Vec<Scored>> {
        let next = AtomicUsize::new(0);
        self.on_threads(
            self.chunks.len() * CHUNK * queries.len(),
            |best, buffer| {
                while let Some(chunk) = self.chunks.get(next.fetch_add(1, Ordering::Relaxed)) {
                    for row in 0..chunk.ids.len() {
                        self.score(chunk, row, queries, buffer, best);
                    }
                }
            },
            queries.len(),
            k,
        )
    }

    /// The same for one query among some photos only; those that have no row are passed over.
    pub(crate) fn search_among(&self, query: &[f32], ids: &[PhotoId], k: usize) -> Vec<Scored> {
        const PART: usize = 256;
        let next = AtomicUsize::new(0);
        let mut found = self.on_threads(
            ids.len(),
            |best, buffer| {
                while let Some(part) = ids.get(next.fetch_add(1, Ordering::Relaxed) * PART..)
                    && !part.is_empty()
                {
                    for position in part.iter().take(PART).filter_map(|id| self.positions.get(*id)) {
                        self.score(&self.chunks[position / CHUNK], position % CHUNK, &[query], buffer, best);
                    }
                }
            },
            1,
            k,
        );
        found.pop().unwrap_or_default()
    }

    /// Scores one row for all queries.
    fn score(&self, chunk: &Chunk, row: usize, queries: &[&[f32]], buffer: &mut [f32], best: &mut [Best]) {
        let Some(id) = chunk.ids[row] else { return };
        chunk.values[row * self.dimension..][..self.dimension].convert_to_f32_slice(buffer);
        for (query, best) in queries.iter().zip(best) {
            let score = match self.metric {
                Metric::Cosine => chunk.scales[row] * sum_of(buffer, query, Term::Product),
                Metric::Euclidean => -sum_of(buffer, query, Term::SquaredDifference),
            };
            best.push(Scored { score, id });
        }
    }

    /// Runs `work` on as many threads as `rows` to compare are worth, and merges what each found best.
    fn on_threads(
        &self,
        rows: usize,
        work: impl Fn(&mut [Best], &mut [f32]) + Sync,
        queries: usize,
        k: usize,
    ) -> Vec<Vec<Scored>> {
        let one = || {
            let (mut best, mut buffer) = (vec![Best::new(k); queries], vec![0.0; self.dimension]);
            work(&mut best, &mut buffer);
            best
        };
        let cores = cores().min(MAX_THREADS);
        let threads = (rows * self.dimension / VALUES_A_THREAD).clamp(1, cores);
        let mut best = std::thread::scope(|scope| {
            let others: Vec<_> = (1..threads).map(|_| scope.spawn(one)).collect();
            let mut best = one();
            for other in others {
                match other.join() {
                    Ok(found) => best.iter_mut().zip(found).for_each(|(best, found)| best.scored.extend(found.scored)),
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
            best
        });
        best.iter_mut().for_each(Best::finish);
        best.into_iter().map(|best| best.scored).collect()
    }
}

/// The best `k` of what it is given.
#[derive(Clone)]
struct Best {
    k: usize,
    /// Nothing that scores less can be among the best any more.
    least: f32,
    scored: Vec<Scored>,
}

impl Best {
    fn new(k: usize) -> Self {
        Self { k, least: f32::NEG_INFINITY, scored: Vec::new() }
    }

    fn push(&mut self, scored: Scored) {
        if scored.score < self.least {
            return;
        }
        self.scored.push(scored);
        // Rarely, so that it costs little a row.
        if self.scored.len() >= self.k.saturating_mul(2).saturating_add(1024) {
            self.cut();
        }
    }

    fn cut(&mut self) {
        if self.k > 0 && self.scored.len() > self.k {
            let (_, worst, _) = self.scored.select_nth_unstable_by(self.k - 1, Scored::order);
            self.least = worst.score;
        }
        self.scored.truncate(self.k);
    }

    fn finish(&mut self) {
        self.cut();
        self.scored.sort_unstable_by(Scored::order);
    }
}

fn to_f32(values: &[f16]) -> Vec<f32> {
    let mut floats = vec![0.0; values.len()];
    values.convert_to_f32_slice(&mut floats);
    floats
}

#[derive(Clone, Copy)]
enum Term {
    Product,
    SquaredDifference,
}

/// The sum of a term over two vectors of one length.
fn sum_of(a: &[f32], b: &[f32], term: Term) -> f32 {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx2,fma")]
        fn with_avx2(a: &[f32], b: &[f32], term: Term) -> f32 {
            // One rounding instead of two, and one instruction.
            plain(a, b, term, f32::mul_add)
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            // SAFETY: the processor has what it needs.
            return unsafe { with_avx2(a, b, term) };
        }
    }
    plain(a, b, term, |x, y, sum| x * y + sum)
}

/// In as many lanes as the processor's registers have; the compiler makes vector instructions of it.
#[inline(always)]
fn plain(a: &[f32], b: &[f32], term: Term, add_product: impl Fn(f32, f32, f32) -> f32) -> f32 {
    const LANES: usize = 32;
    let mut sums = [0.0_f32; LANES];
    let mut add = |a: &[f32], b: &[f32]| {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum = match term {
                Term::Product => add_product(*a, *b, *sum),
                Term::SquaredDifference => add_product(a - b, a - b, *sum),
            };
        }
    };
    let (whole_a, rest_a) = a.as_chunks::<LANES>();
    let (whole_b, rest_b) = b.as_chunks::<LANES>();
    for (a, b) in whole_a.iter().zip(whole_b) {
        add(a, b);
    }
    add(rest_a, rest_b);
    sums.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::photo::Embedding;

    fn embedding(values: [f32; 2]) -> HalfEmbedding {
        HalfEmbedding::from(&Embedding::normalised(values.to_vec()).unwrap())
    }

    #[test]
    fn a_clone_shares_all_but_what_changes_and_stays_as_it_was() {
        let mut rows = Rows::new(2, Metric::Cosine);
        let count = 3 * CHUNK as i64;
        for id in 1..=count {
            assert!(rows.add(PhotoId(id), &embedding([1.0, id as f32])));
        }
        let before = rows.clone();
        rows.remove(&[PhotoId(7)]);
        assert!(rows.add(PhotoId(count + 7), &embedding([0.0, 1.0])));
        let shared = |a: &[Arc<Chunk>], b: &[Arc<Chunk>]| a.iter().zip(b).filter(|(a, b)| Arc::ptr_eq(a, b)).count();
        assert_eq!(shared(&rows.chunks, &before.chunks), 2);
        let shards = rows.positions.shards.iter().zip(&before.positions.shards);
        assert_eq!(shards.filter(|(a, b)| Arc::ptr_eq(a, b)).count(), SHARDS - 1);
        assert!(before.contains(PhotoId(7)) && !before.contains(PhotoId(count + 7)));
        assert_eq!((before.count(), rows.count()), (count as usize, count as usize));
        assert_eq!(before.ids().count(), count as usize);
        assert!((before.get(PhotoId(7)).unwrap()[1] - 7.0 / 50.0_f32.sqrt()).abs() < 1e-3);
        assert_eq!(rows.get(PhotoId(7)), None);
    }
}
