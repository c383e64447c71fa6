//! The parts of the grid that have a heading: the months, where photos are in the order of a date.

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
        sections.push(Section { title, first, count: together.len() });
    }
    sections.into()
}
