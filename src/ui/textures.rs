//! Pictures on the graphics card: requested from the loader, uploaded a few a frame, thrown away when too many.

use std::collections::HashMap;

use eframe::egui::{self, ColorImage, TextureHandle, TextureOptions};
use image::RgbImage;

use crate::pictures::{PictureKey, PictureLoader, PictureRequest};

/// Uploads in one frame at most. Each takes a third of a millisecond where OpenGL is computed in software, and several
/// times that where other work holds the processor.
const MOST_UPLOADS: usize = 8;
/// And at least: on a large window that is drawn in software all frames are long, and still have to fill.
const LEAST_UPLOADS: usize = 2;
/// A frame that took longer, in seconds, is followed by one with half as many uploads: a third of a frame's time at 60 a
/// second. The rest is for what else may hold the processor.
const LONG_FRAME: f32 = 0.006;
/// Bytes on the graphics card before the longest unused go: twice what a large screen full of small tiles needs.
const BUDGET: usize = 128 << 20;

enum Slot {
    Ready {
        texture: TextureHandle,
        bytes: usize,
    },
    /// Kept, so that a broken file is not tried again in every frame.
    Failed(String),
}

/// What there is of a picture.
pub(crate) enum Picture {
    Ready(TextureHandle),
    Loading,
    Failed(String),
}

/// The pictures that have been asked for lately.
pub struct Textures {
    loader: PictureLoader<ColorImage>,
    slots: HashMap<PictureKey, (Slot, u64)>,
    frame: u64,
    /// Uploads that the next frame may make.
    uploads: usize,
    /// Of the slots.
    bytes: usize,
    /// Textures whose pictures went, by size: to write over one takes half the time of making one.
    spare: HashMap<[usize; 2], Vec<TextureHandle>>,
    requests: Vec<PictureRequest>,
}

impl Textures {
    /// An empty cache in front of a loader; `wake` is called when a picture is ready.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(wake: impl Fn() + Send + Sync + 'static) -> std::io::Result<Self> {
        let loader = PictureLoader::start(|picture| color_image(&picture), wake)?;
        let (slots, spare) = (HashMap::new(), HashMap::new());
        Ok(Self { loader, slots, frame: 0, uploads: MOST_UPLOADS, bytes: 0, spare, requests: Vec::new() })
    }

    /// Before a frame is drawn: uploads what has been loaded, as much as the frame before leaves time for; it took
    /// `last_frame` seconds.
    pub fn begin_frame(&mut self, ctx: &egui::Context, last_frame: f32) {
        self.frame += 1;
        self.uploads = uploads_after(self.uploads, last_frame);
        for (key, picture) in self.loader.take_ready(self.uploads) {
            let slot = match picture {
                Ok(picture) => {
                    let texture = self.upload(ctx, picture);
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

    fn upload(&mut self, ctx: &egui::Context, picture: ColorImage) -> TextureHandle {
        match self.spare.get_mut(&picture.size).and_then(Vec::pop) {
            Some(mut texture) => {
                texture.set_partial([0, 0], picture, TextureOptions::LINEAR);
                texture
            }
            None => ctx.load_texture("picture", picture, TextureOptions::LINEAR),
        }
    }

    /// A picture, if it is there; otherwise it is requested.
    pub(crate) fn get(&mut self, request: PictureRequest) -> Picture {
        match self.slots.get_mut(&request.key()) {
            Some((slot, used)) => {
                *used = self.frame;
                match slot {
                    Slot::Ready { texture, .. } => Picture::Ready(texture.clone()),
                    Slot::Failed(reason) => Picture::Failed(reason.clone()),
                }
            }
            None => {
                self.requests.push(request);
                Picture::Loading
            }
        }
    }

    /// After a frame is drawn: hands the requests on, and throws away what has long not been seen.
    pub fn end_frame(&mut self) {
        self.loader.request(std::mem::take(&mut self.requests));
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
        self.spare.clear();
        for (_, key) in by_age {
            if self.bytes <= BUDGET * 3 / 4 {
                return;
            }
            if let Some((Slot::Ready { texture, bytes }, _)) = self.slots.remove(&key) {
                self.bytes -= bytes;
                self.spare.entry(texture.size()).or_default().push(texture);
            }
        }
    }

    /// Forgets everything, failures too: another library is open, or files have changed.
    pub(crate) fn clear(&mut self) {
        self.slots.clear();
        self.spare.clear();
        self.bytes = 0;
    }
}

/// How many uploads a frame may make: quickly fewer, slowly more again.
fn uploads_after(uploads: usize, last_frame: f32) -> usize {
    if last_frame > LONG_FRAME { (uploads / 2).max(LEAST_UPLOADS) } else { (uploads + 1).min(MOST_UPLOADS) }
}

/// A picture as egui uploads it.
pub(crate) fn color_image(picture: &RgbImage) -> ColorImage {
    let size = [picture.width() as usize, picture.height() as usize];
    ColorImage::from_rgb(size, picture.as_raw())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_frames_have_fewer_uploads_after_them_but_never_too_few() {
        let after = |frames: &[f32]| frames.iter().fold(MOST_UPLOADS, |uploads, frame| uploads_after(uploads, *frame));
        assert_eq!(after(&[0.002; 9]), MOST_UPLOADS);
        assert_eq!(after(&[0.020]), MOST_UPLOADS / 2);
        assert_eq!(after(&[0.020; 9]), 2);
        assert_eq!(after(&[0.020, 0.020, 0.020, 0.002, 0.002]), 4);
    }
}
