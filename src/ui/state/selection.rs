//! Which photos of the grid are selected.

use std::collections::{BTreeSet, HashMap};

use crate::query::Hit;

/// The selected photos by their places in the grid. One of them is the current one: what the arrows move from, what the
/// large view and the details show.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    current: Option<usize>,
    /// Where a selection that is extended begins.
    anchor: usize,
    /// All that are selected, where those are more than the current one.
    many: BTreeSet<usize>,
}

impl Selection {
    pub(crate) fn one(number: usize) -> Self {
        Self { current: Some(number), anchor: number, many: BTreeSet::new() }
    }

    pub(crate) fn current(&self) -> Option<usize> {
        self.current
    }

    pub(crate) fn has(&self, number: usize) -> bool {
        if self.many.is_empty() { self.current == Some(number) } else { self.many.contains(&number) }
    }

    pub(crate) fn len(&self) -> usize {
        if self.many.is_empty() { usize::from(self.current.is_some()) } else { self.many.len() }
    }

    /// Adds a photo, or takes it away; it is the current one then.
    pub(crate) fn toggle(&mut self, number: usize) {
        let mut many = self.all();
        if !many.remove(&number) {
            many.insert(number);
        }
        *self = Self::of(many, number, number);
    }

    /// Selects all from where this began to a photo, which is the current one then.
    pub(crate) fn extend(&mut self, number: usize) {
        let anchor = if self.current.is_some() { self.anchor } else { number };
        *self = Self::of((anchor.min(number)..=anchor.max(number)).collect(), number, anchor);
    }

    /// Selects these, and those before as well with `add`. The first of them is the current one.
    pub(crate) fn select(&mut self, photos: Vec<usize>, add: bool) {
        let mut many = if add { self.all() } else { BTreeSet::new() };
        let Some(first) = photos.first().copied() else { return *self = Self::of(many, self.anchor, self.anchor) };
        many.extend(photos);
        *self = Self::of(many, first, first);
    }

    /// Makes one of those selected the current one.
    pub(crate) fn move_to(&mut self, number: usize) {
        if self.has(number) {
            self.current = Some(number);
        }
    }

    /// Only the current one.
    pub(crate) fn forget_others(&mut self) {
        self.many.clear();
    }

    fn all(&self) -> BTreeSet<usize> {
        if self.many.is_empty() { self.current.into_iter().collect() } else { self.many.clone() }
    }

    /// With a current photo that is one of those selected.
    fn of(many: BTreeSet<usize>, current: usize, anchor: usize) -> Self {
        match many.len() {
            0 => Self::default(),
            1 => many.first().map_or_else(Self::default, |only| Self::one(*only)),
            _ if many.contains(&current) => Self { current: Some(current), anchor, many },
            _ => Self { current: many.first().copied(), anchor, many },
        }
    }

    /// The same photos where the grid shows others.
    pub(crate) fn followed(&self, before: &[Hit], now: &[Hit]) -> Self {
        if self.current.is_none() || before.as_ptr() == now.as_ptr() {
            return self.clone();
        }
        let places: HashMap<_, usize> = now.iter().enumerate().map(|(number, hit)| (hit.photo.id, number)).collect();
        let place = |number: usize| before.get(number).and_then(|hit| places.get(&hit.photo.id)).copied();
        let many: BTreeSet<usize> = self.all().into_iter().filter_map(place).collect();
        let current = self.current.and_then(place).unwrap_or(usize::MAX);
        Self::of(many, current, place(self.anchor).unwrap_or(current))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::metadata::Metadata;
    use crate::photo::{ContentHash, Photo, PhotoId};

    fn hits(ids: &[i64]) -> Vec<Hit> {
        let photo = |id: &i64| Photo::new(PhotoId(*id), "a.jpg".into(), ContentHash([0; 16]), Metadata::default());
        let hit = |id| Hit { photo: Arc::new(photo(id)), raw: None, similarity: None, same_species: None };
        ids.iter().map(hit).collect()
    }

    fn selected(selection: &Selection) -> Vec<usize> {
        (0..20).filter(|number| selection.has(*number)).collect()
    }

    #[test]
    fn photos_are_added_and_taken_away_and_selected_from_one_to_another() {
        let mut selection = Selection::one(4);
        selection.toggle(7);
        assert_eq!((selected(&selection), selection.current()), (vec![4, 7], Some(7)));
        selection.extend(9);
        assert_eq!(selected(&selection), [7, 8, 9]);
        selection.extend(5);
        assert_eq!((selected(&selection), selection.current()), (vec![5, 6, 7], Some(5)));
        selection.toggle(5);
        assert_eq!((selected(&selection), selection.current()), (vec![6, 7], Some(6)));
        selection.toggle(6);
        selection.toggle(7);
        assert_eq!((selection.len(), selection.current()), (0, None));
        selection.extend(3);
        assert_eq!(selected(&selection), [3]);
        selection.select(vec![8, 9], true);
        assert_eq!((selected(&selection), selection.current()), (vec![3, 8, 9], Some(8)));
        selection.forget_others();
        assert_eq!(selected(&selection), [8]);
    }

    #[test]
    fn a_selection_stays_with_its_photos() {
        let mut selection = Selection::one(1);
        selection.toggle(3);
        let followed = selection.followed(&hits(&[10, 11, 12, 13]), &hits(&[9, 13, 10, 11]));
        assert_eq!((selected(&followed), followed.current()), (vec![1, 3], Some(1)));
        let without = selection.followed(&hits(&[10, 11, 12, 13]), &hits(&[9, 11, 10]));
        assert_eq!((selected(&without), without.current()), (vec![1], Some(1)));
        assert_eq!(selection.followed(&hits(&[10, 11, 12, 13]), &hits(&[1])), Selection::default());
    }
}
