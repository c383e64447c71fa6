//! What part of a picture is shown, and how large. By itself rather than by [`eframe::egui::Scene`]: two pictures of different sizes
//! move together, and nothing of a picture leaves its edge of the area while there is more of it to be seen.

use eframe::egui::{Pos2, Rect, Vec2, vec2};

/// Above the size at which a pixel of the picture is a pixel of the screen, so many times at most.
const MOST: f32 = 8.0;

/// What part of a picture is shown in an area.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Zoom {
    /// Times the size at which the whole picture fits.
    pub(crate) factor: f32,
    /// The point of the picture that is in the middle of the area, from 0 to 1 each way.
    centre: Vec2,
}

impl Default for Zoom {
    fn default() -> Self {
        Self::FIT
    }
}

/// A picture of this size, in pixels, in an area, in points.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fitting {
    pub(crate) picture: Vec2,
    pub(crate) area: Rect,
    pub(crate) pixels_per_point: f32,
}

impl Fitting {
    /// Points of the whole picture where it fits.
    fn fitted(self) -> Vec2 {
        let scale = (self.area.size() / self.picture).min_elem();
        self.picture * scale
    }

    /// The factor at which a pixel of the picture is a pixel of the screen.
    pub(crate) fn actual(self) -> f32 {
        self.picture.x / (self.fitted().x * self.pixels_per_point)
    }
}

impl Zoom {
    /// The whole picture.
    pub(crate) const FIT: Self = Self { factor: 1.0, centre: Vec2::splat(0.5) };

    /// Whether the whole picture is shown as large as it fits.
    pub(crate) fn is_fit(self) -> bool {
        (self.factor - 1.0).abs() < 1e-3
    }

    /// Where the whole picture lies, also what is not seen of it.
    pub(crate) fn place(self, fitting: Fitting) -> Rect {
        let size = fitting.fitted() * self.factor;
        Rect::from_min_size(fitting.area.center() - self.centre * size, size)
    }

    /// So many times as large, with what is under the pointer staying there.
    pub(crate) fn times(self, by: f32, pointer: Pos2, fitting: Fitting) -> Self {
        let actual = fitting.actual();
        let factor = (self.factor * by).clamp(actual.min(1.0), (actual * MOST).max(2.0));
        let under = (pointer - self.place(fitting).min) / (fitting.fitted() * self.factor);
        let centre = under + (fitting.area.center() - pointer) / (fitting.fitted() * factor);
        Self { factor, centre }.within(fitting)
    }

    /// Moved by so many points.
    pub(crate) fn moved(self, by: Vec2, fitting: Fitting) -> Self {
        Self { centre: self.centre - by / (fitting.fitted() * self.factor), ..self }.within(fitting)
    }

    /// Between the whole picture and its own size; a picture that fits in its own size becomes twice as large.
    pub(crate) fn toggled(self, pointer: Pos2, fitting: Fitting) -> Self {
        if !self.is_fit() {
            return Self::FIT;
        }
        let actual = fitting.actual();
        self.times(if actual > 1.05 { actual } else { 2.0 }, pointer, fitting)
    }

    /// No edge of the picture is within the area where there is more to be seen at the other side.
    pub(crate) fn within(self, fitting: Fitting) -> Self {
        let half = fitting.area.size() / (fitting.fitted() * self.factor) / 2.0;
        let inside = |centre: f32, half: f32| if half >= 0.5 { 0.5 } else { centre.clamp(half, 1.0 - half) };
        Self { centre: vec2(inside(self.centre.x, half.x), inside(self.centre.y, half.y)), ..self }
    }
}

#[cfg(test)]
mod tests {
    use eframe::egui::pos2;

    use super::*;

    const FITTING: Fitting = Fitting {
        picture: vec2(4000.0, 3000.0),
        area: Rect { min: pos2(100.0, 50.0), max: pos2(900.0, 650.0) },
        pixels_per_point: 2.0,
    };

    #[test]
    fn the_point_under_the_pointer_stays_there() {
        let pointer = pos2(250.0, 600.0);
        let at = |zoom: Zoom| (pointer - zoom.place(FITTING).min) / zoom.place(FITTING).size();
        let mut zoom = Zoom::FIT;
        assert_eq!(zoom.place(FITTING), FITTING.area);
        let before = at(zoom);
        for by in [1.5, 1.2, 1.4, 0.8] {
            zoom = zoom.times(by, pointer, FITTING);
            assert!((at(zoom) - before).length() < 1e-4, "{zoom:?}");
        }
    }

    #[test]
    fn at_its_own_size_a_pixel_is_a_pixel() {
        let zoom = Zoom::FIT.toggled(FITTING.area.center(), FITTING);
        assert!((zoom.place(FITTING).width() * FITTING.pixels_per_point - 4000.0).abs() < 0.1, "{zoom:?}");
        assert!(zoom.toggled(pos2(100.0, 100.0), FITTING).is_fit());
        let small = Fitting { picture: vec2(400.0, 300.0), ..FITTING };
        assert!((Zoom::FIT.toggled(small.area.center(), small).factor - 2.0).abs() < 1e-3);
        // It may be made as small as it is.
        let least = Zoom::FIT.times(0.01, small.area.center(), small);
        assert!((least.place(small).width() - 200.0).abs() < 0.1, "{least:?}");
    }

    #[test]
    fn no_edge_leaves_its_side_while_there_is_more_to_be_seen() {
        let zoom = Zoom::FIT.times(3.0, FITTING.area.center(), FITTING);
        for by in [vec2(9999.0, 0.0), vec2(-9999.0, 200.0), vec2(0.0, -9999.0)] {
            let place = zoom.moved(by, FITTING).place(FITTING).expand(0.01);
            assert!(place.contains_rect(FITTING.area), "{by:?}: {place:?}");
        }
        // A narrow picture stays in the middle.
        let narrow = Fitting { picture: vec2(300.0, 3000.0), ..FITTING };
        let place = Zoom::FIT.times(2.0, narrow.area.center(), narrow).moved(vec2(50.0, 0.0), narrow).place(narrow);
        assert!((place.center().x - narrow.area.center().x).abs() < 0.01);
    }
}
