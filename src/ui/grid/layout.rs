//! Where each photo of the grid lies, and each heading.

use eframe::egui::{Pos2, Rangef, Rect, Vec2, pos2, vec2};

use crate::ui::state::section::Section;

/// Height of two lines of text under a thumbnail, of one, and of a heading, in points.
const CAPTION: f32 = 40.0;
const SHORT_CAPTION: f32 = 22.0;
pub(super) const HEADING: f32 = 32.0;
const TILE_GAP: f32 = 8.0;

/// How the grid is laid out in a given width; also what the keyboard needs to move in it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Layout {
    pub columns: usize,
    /// Rows that fit on the screen.
    pub rows_in_view: usize,
    /// Of a thumbnail, in points.
    side: f32,
    /// Of the text under it.
    caption: f32,
    blocks: Vec<Block>,
}

/// The photos under one heading.
#[derive(Clone, Debug, PartialEq)]
struct Block {
    first: usize,
    count: usize,
    /// Where its heading begins.
    top: f32,
    /// Where its first row does.
    rows: f32,
}

impl Layout {
    /// Of so many photos in this size, with thumbnails about as large as `wished` and so many lines of text under them.
    /// With sections the photos have headings.
    pub(super) fn new(size: Vec2, wished: f32, lines: usize, photos: usize, sections: &[Section]) -> Self {
        let Vec2 { x: width, y: height } = size;
        let caption = if lines == 1 { SHORT_CAPTION } else { CAPTION };
        // The columns whose thumbnails come nearest to the wish; they end flush at both sides.
        let columns = (((width + TILE_GAP) / (wished + TILE_GAP)).round() as usize).max(1);
        let side = ((width + TILE_GAP) / columns as f32 - TILE_GAP).clamp(16.0, wished * 1.5);
        let whole = [(0, photos, 0.0)];
        let headed = sections.iter().map(|section| (section.first, section.count, HEADING));
        let mut layout = Self { columns, rows_in_view: 0, side, caption, blocks: Vec::new() };
        layout.rows_in_view = ((height / layout.step()) as usize).max(1);
        let mut top = 0.0;
        for (first, count, heading) in headed.chain(whole.into_iter().filter(|_| sections.is_empty())) {
            layout.blocks.push(Block { first, count, top, rows: top + heading });
            top += heading + layout.step() * count.div_ceil(columns) as f32;
        }
        layout
    }

    pub(super) fn side(&self) -> f32 {
        self.side
    }

    /// Of a thumbnail if there were so many columns.
    pub(crate) fn side_with(&self, columns: usize) -> f32 {
        let width = (self.side + TILE_GAP) * self.columns.max(1) as f32;
        width / columns.max(1) as f32 - TILE_GAP
    }

    /// From one row to the next.
    fn step(&self) -> f32 {
        self.side + self.caption + TILE_GAP
    }

    /// Of the whole grid.
    pub(super) fn height(&self) -> f32 {
        let end = |block: &Block| block.rows + self.step() * block.count.div_ceil(self.columns) as f32 - TILE_GAP;
        self.blocks.last().map_or(0.0, end).max(0.0)
    }

    fn block_of(&self, number: usize) -> usize {
        self.blocks.partition_point(|block| block.first <= number).saturating_sub(1)
    }

    /// The place of a photo, its caption included, from the grid's left top.
    pub(super) fn tile(&self, number: usize) -> Rect {
        let Some(block) = self.blocks.get(self.block_of(number)) else { return Rect::NOTHING };
        let within = number - block.first;
        let (row, column) = (within / self.columns, within % self.columns);
        let corner = pos2(column as f32 * (self.side + TILE_GAP), block.rows + row as f32 * self.step());
        Rect::from_min_size(corner, vec2(self.side, self.side + self.caption))
    }

    /// The photos of the rows that meet this range of heights.
    pub(super) fn in_rows(&self, view: Rangef) -> impl Iterator<Item = usize> {
        let first = self.blocks.partition_point(|block| block.top < view.min).saturating_sub(1);
        let blocks = self.blocks[first.min(self.blocks.len())..].iter().take_while(move |block| block.top < view.max);
        blocks.flat_map(move |block| {
            let row = |height: f32| ((height - block.rows) / self.step()).max(0.0);
            let end = (row(view.max).ceil() as usize).saturating_mul(self.columns).min(block.count);
            let begin = (row(view.min).floor() as usize).saturating_mul(self.columns).min(end);
            block.first + begin..block.first + end
        })
    }

    /// The photos that a rectangle meets.
    pub(super) fn within(&self, rect: Rect) -> Vec<usize> {
        self.in_rows(rect.y_range()).filter(|number| self.tile(*number).intersects(rect)).collect()
    }

    /// The headings that a range of heights shows, by the number of their section: each where it belongs, but the one of
    /// what is shown first at the upper edge, until the next one pushes it out.
    pub(super) fn headings(&self, view: Rangef) -> Vec<(usize, f32)> {
        let first = self.blocks.partition_point(|block| block.top <= view.min).saturating_sub(1);
        let shown = self.blocks.iter().enumerate().skip(first).take_while(|(_, block)| block.top < view.max);
        let next = |number: usize| self.blocks.get(number + 1).map_or(f32::INFINITY, |next| next.top);
        shown.map(|(number, block)| (number, block.top.max(view.min).min(next(number) - HEADING))).collect()
    }

    /// The photo so many rows below one, in the same column as far as there is one.
    pub(crate) fn below(&self, number: usize, rows: isize) -> usize {
        let mut number = number;
        for _ in 0..rows.unsigned_abs() {
            let at = self.block_of(number);
            let Some(block) = self.blocks.get(at) else { return number };
            let column = (number - block.first) % self.columns;
            let last = block.first + block.count - 1;
            if rows > 0 {
                let row_of = |number: usize| (number - block.first) / self.columns;
                number = match self.blocks.get(at + 1) {
                    _ if row_of(number) < row_of(last) => (number + self.columns).min(last),
                    Some(next) => next.first + column.min(next.count - 1),
                    None => return number,
                };
            } else {
                number = match at.checked_sub(1).map(|at| &self.blocks[at]) {
                    _ if number - block.first >= self.columns => number - self.columns,
                    Some(before) => {
                        let last_row = (before.count - 1) / self.columns * self.columns;
                        before.first + (last_row + column).min(before.count - 1)
                    }
                    None => return number,
                };
            }
        }
        number
    }
}

/// A place in the grid as it is on the screen.
pub(super) fn on_screen(rect: Rect, origin: Pos2) -> Rect {
    rect.translate(origin.to_vec2())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sections(counts: &[usize]) -> Vec<Section> {
        let mut first = 0;
        counts
            .iter()
            .map(|count| {
                first += count;
                Section { title: String::new(), first: first - count, count: *count, is_faint: false }
            })
            .collect()
    }

    #[test]
    fn thumbnails_are_as_near_to_the_wish_as_columns_allow() {
        let layout = |width, wish| {
            let layout = Layout::new(vec2(width, 500.0), wish, 2, 10, &[]);
            (layout.columns, layout.side.round())
        };
        assert_eq!(layout(600.0, 202.0), (3, 195.0));
        assert_eq!(layout(1000.0, 100.0), (9, 104.0));
        assert_eq!(layout(90.0, 200.0), (1, 90.0));
    }

    #[test]
    fn every_photo_of_the_rows_in_view_is_found_and_no_other() {
        for counts in [&[][..], &[1, 7, 4, 30, 2]] {
            let layout = Layout::new(vec2(400.0, 300.0), 90.0, 2, 44, &sections(counts));
            for top in 0..40 {
                let view = Rangef::new(top as f32 * 50.0, top as f32 * 50.0 + 300.0);
                let meets = |number: &usize| layout.tile(*number).expand(TILE_GAP).y_range().intersects(view);
                let found: Vec<usize> = layout.in_rows(view).collect();
                let inside = |number: &usize| layout.tile(*number).y_range().intersection(view).span() > 0.0;
                assert!((0..44).filter(inside).all(|number| found.contains(&number)), "{view:?} {found:?}");
                assert!(found.iter().all(meets), "{view:?} {found:?}");
                assert!(found.windows(2).all(|two| two[1] == two[0] + 1));
            }
            assert!(layout.height() >= layout.tile(43).bottom());
        }
    }

    #[test]
    fn photos_do_not_lie_on_one_another_and_a_rectangle_meets_those_in_it() {
        let layout = Layout::new(vec2(400.0, 300.0), 90.0, 2, 12, &sections(&[5, 7]));
        let tiles: Vec<Rect> = (0..12).map(|number| layout.tile(number)).collect();
        for (number, tile) in tiles.iter().enumerate() {
            assert!(tile.right() <= 400.5 && tiles[..number].iter().all(|other| !other.shrink(0.1).intersects(*tile)));
        }
        assert_eq!(layout.within(tiles[1].union(tiles[2]).shrink(1.0)), [1, 2]);
        assert_eq!(layout.within(Rect::EVERYTHING), (0..12).collect::<Vec<_>>());
    }

    #[test]
    fn the_heading_of_what_is_shown_first_stays_until_the_next_one_comes() {
        let layout = Layout::new(vec2(400.0, 300.0), 90.0, 2, 12, &sections(&[8, 4]));
        let second = layout.tile(8).top() - HEADING;
        assert_eq!(layout.headings(Rangef::new(0.0, 100.0)), [(0, 0.0)]);
        assert_eq!(layout.headings(Rangef::new(60.0, 360.0)), [(0, 60.0), (1, second)]);
        assert_eq!(layout.headings(Rangef::new(second - 10.0, second + 200.0))[0], (0, second - HEADING));
        assert_eq!(layout.headings(Rangef::new(second + 5.0, second + 200.0)), [(1, second + 5.0)]);
    }

    #[test]
    fn up_and_down_stay_in_the_column_across_headings() {
        let layout = Layout::new(vec2(400.0, 300.0), 90.0, 2, 11, &sections(&[6, 1, 4]));
        assert_eq!(layout.columns, 4);
        assert_eq!([layout.below(3, 1), layout.below(1, 1), layout.below(5, 1), layout.below(6, 1)], [5, 5, 6, 7]);
        assert_eq!([layout.below(9, -1), layout.below(6, -1), layout.below(5, -1), layout.below(2, -1)], [6, 4, 1, 2]);
        assert_eq!([layout.below(2, 9), layout.below(10, 1), layout.below(10, -9)], [7, 10, 0]);
    }
}
