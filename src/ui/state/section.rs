//! The parts of the grid that have a heading: the months, where photos are in the order of a date; what is close to a query
//! and what is not.

use std::sync::Arc;

use tr::tr;

use crate::query::{Hit, Order};
use crate::ui::dates::month_text;

/// Photos that stand together under a heading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    pub(crate) title: String,
    /// The place of its first photo.
    pub(crate) first: usize,
    pub(crate) count: usize,
    /// Its photos are of less interest than those before.
    pub(crate) is_faint: bool,
}

/// The sections of photos in this order; none where that is no order of dates.
pub(crate) fn of(hits: &[Hit], order: Order) -> Arc<[Section]> {
    let month: fn(&Hit) -> Option<(i32, u8)> = match order {
        Order::Folder | Order::Name => return Arc::default(),
        Order::NewestFirst | Order::OldestFirst => |hit| hit.photo.metadata.taken.map(|taken| taken.month()),
        Order::ChangedLast => |hit| hit.photo.changed().map(|day| (day.year(), day.month().into())),
    };
    let mut sections: Vec<Section> = Vec::new();
    for together in hits.chunk_by(|one, next| month(one) == month(next)) {
        let title = month(&together[0]).map_or_else(|| tr!("Without a date"), |(year, of)| month_text(year, of));
        let first = sections.last().map_or(0, |before| before.first + before.count);
        sections.push(Section { title, first, count: together.len(), is_faint: false });
    }
    sections.into()
}

/// A photo that is at least so likely of the query's species is close to it, however it looks.
const LIKELY: f64 = 0.5;

/// Whether a result is as similar to the query as photos are to their neighbours.
pub(crate) fn is_similar(hit: &Hit, close_from: f32) -> bool {
    hit.similarity.is_some_and(|similarity| similarity >= close_from)
}

/// Results up to the last one that is close to the query, and those after it; none where they are all of one kind.
pub(crate) fn by_similarity(hits: &[Hit], close_from: f32) -> Arc<[Section]> {
    let is_close = |hit: &Hit| is_similar(hit, close_from) || hit.same_species.is_some_and(|likely| likely >= LIKELY);
    let close = hits.iter().rposition(is_close).map_or(0, |last| last + 1);
    if close == 0 || close == hits.len() {
        return Arc::default();
    }
    let similar = Section { title: tr!("Similar"), first: 0, count: close, is_faint: false };
    let less = Section { title: tr!("Less similar"), first: close, count: hits.len() - close, is_faint: true };
    Arc::new([similar, less])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::Metadata;
    use crate::photo::{ContentHash, Photo, PhotoId};

    #[test]
    fn the_line_is_below_the_last_result_that_is_close() {
        let hit = |(similarity, same_species)| {
            let photo = Photo::new(PhotoId(1), "1.jpg".into(), ContentHash([0; 16]), Metadata::default());
            Hit { photo: Arc::new(photo), raw: None, similarity: Some(similarity), same_species }
        };
        let counts = |results: &[(f32, Option<f64>)]| -> Vec<(usize, bool)> {
            let hits: Vec<Hit> = results.iter().copied().map(hit).collect();
            by_similarity(&hits, 0.6).iter().map(|section| (section.count, section.is_faint)).collect()
        };
        assert_eq!(counts(&[(0.9, None), (0.6, None), (0.5, None)]), [(2, false), (1, true)]);
        assert_eq!(counts(&[(0.9, None), (0.7, None)]), []);
        assert_eq!(counts(&[(0.5, None), (0.4, None)]), []);
        // Of the query's species, though it looks different.
        let likely = [(0.9, Some(0.9)), (0.5, Some(0.1)), (0.4, Some(0.9)), (0.3, Some(0.1))];
        assert_eq!(counts(&likely), [(3, false), (1, true)]);
    }
}
