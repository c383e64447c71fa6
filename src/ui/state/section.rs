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

/// Results that are close to the query, and those that are not; none where they are all of one kind.
pub(crate) fn by_similarity(hits: &[Hit], close_from: f32) -> Arc<[Section]> {
    let close = hits.iter().take_while(|hit| hit.similarity.is_some_and(|similarity| similarity >= close_from)).count();
    if close == 0 || close == hits.len() {
        return Arc::default();
    }
    let similar = Section { title: tr!("Similar"), first: 0, count: close, is_faint: false };
    let less = Section { title: tr!("Less similar"), first: close, count: hits.len() - close, is_faint: true };
    Arc::new([similar, less])
}
