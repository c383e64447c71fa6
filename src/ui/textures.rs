//! Pictures on the graphics card: asked of the loader, uploaded a few a frame, thrown away when too many.

use std::collections::HashMap;

use eframe::egui::{self, ColorImage, TextureHandle, TextureOptions};
use image::RgbImage;

use crate::pictures::{PictureKey, PictureLoader, Wish};

/// Uploads in one frame at most: more would be felt while scrolling. Each takes a third of a millisecond where OpenGL is
/// computed in software.
const UPLOADS_A_FRAME: usize = 8;
/// Bytes on the graphics card before the longest unused go.
const BUDGET: usize = 256 << 20;

enum Slot {
    Ready {
        texture: TextureHandle,
        bytes: usize,
    },
    /// Kept, so that a broken file is not tried again in every frame.
    Failed(String),
}

/// What there is of a picture.
pub enum Picture {
    Ready(TextureHandle),
    Loading,
    Failed(String),
}

/// The pictures that have been asked for lately.
pub struct Textures {
    loader: PictureLoader<ColorImage>,
    slots: HashMap<PictureKey, (Slot, u64)>,
    frame: u64,
    bytes: usize,
    wishes: Vec<Wish>,
}

impl Textures {
    /// An empty cache in front of a loader; `wake` is called when a picture is ready.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(wake: impl Fn() + Send + Sync + 'static) -> std::io::Result<Self> {
        let loader = PictureLoader::start(|picture| color_image(&picture), wake)?;
        Ok(Self { loader, slots: HashMap::new(), frame: 0, bytes: 0, wishes: Vec::new() })
    }

    /// Before a frame is drawn: uploads what has been loaded.
    pub fn begin_frame(&mut self, ctx: &egui::Context) {
        self.frame += 1;
        for (key, picture) in self.loader.take_ready(UPLOADS_A_FRAME) {
            let slot = match picture {
                Ok(picture) => {
                    let texture = ctx.load_texture("picture", picture, TextureOptions::LINEAR);
                    let bytes = texture.byte_size();
                    self.bytes += bytes;
                    Slot::Ready { texture, bytes }
                }
                Err(reason) => Slot::Failed(reason),
            };
            self.slots.insert(key, (slot, self.frame));
        }
        if self.loader.has_ready() {
            ctx.request_repaint();
        }
    }

    /// A picture, if it is there; otherwise it is wished for.
    pub fn get(&mut self, wish: Wish) -> Picture {
        match self.slots.get_mut(&wish.key()) {
            Some((slot, used)) => {
                *used = self.frame;
                match slot {
                    Slot::Ready { texture, .. } => Picture::Ready(texture.clone()),
                    Slot::Failed(reason) => Picture::Failed(reason.clone()),
                }
            }
            None => {
                self.wishes.push(wish);
                Picture::Loading
            }
        }
    }

    /// After a frame is drawn: hands the wishes on, and throws away what has long not been seen.
    pub fn end_frame(&mut self) {
        self.loader.want(std::mem::take(&mut self.wishes));
        if self.bytes <= BUDGET {
            return;
        }
        let mut by_age: Vec<(u64, PictureKey)> = self
            .slots
            .iter()
            .map(|(key, (_, used))| (*used, key.clone()))
            .filter(|(used, _)| *used < self.frame)
            .collect();
        by_age.sort_unstable_by_key(|(used, _)| *used);
        for (_, key) in by_age {
            if self.bytes <= BUDGET * 3 / 4 {
                return;
            }
            if let Some((Slot::Ready { bytes, .. }, _)) = self.slots.remove(&key) {
                self.bytes -= bytes;
            }
        }
    }

    /// Forgets everything, failures too: another library is open, or files have changed.
    pub fn clear(&mut self) {
        self.slots.clear();
        self.bytes = 0;
    }
}

/// A picture as egui uploads it.
pub fn color_image(picture: &RgbImage) -> ColorImage {
    let size = [picture.width() as usize, picture.height() as usize];
    ColorImage::from_rgb(size, picture.as_raw())
}
