//! The searches of before: offered at the side, kept with their library.

use std::path::Path;

use eframe::egui::{Context, TextureHandle, TextureOptions};
use image::RgbImage;

use super::App;
use crate::desktop::Answer as DesktopAnswer;
use crate::query::Query;
use crate::searches::{self, FILE, Kept, MOST, as_kept};
use crate::ui::state::EarlierSearch;
use crate::ui::textures::color_image;

impl App {
    /// Has the searches of before read that are kept with the open library.
    pub(super) fn ask_for_searches(&mut self) {
        (self.state.searches, self.has_searches) = (Vec::new(), false);
        let Some(library) = &self.state.library else { return };
        let folder = library.library.folder.clone();
        self.desktop.run("searches", move || {
            let searches = searches::load(&folder);
            Some(DesktopAnswer::Searches { folder, searches })
        });
    }

    /// Takes them in, behind those that have come meanwhile.
    pub(super) fn take_searches(&mut self, ctx: &Context, folder: &Path, searches: Vec<Kept>) {
        let Some(library) = self.state.library.as_ref().filter(|library| library.library.folder == folder) else {
            return;
        };
        let is_known = |searches: &[EarlierSearch], query: &Query| {
            searches.iter().any(|search| as_kept(&search.query, &library.library.root) == *query)
        };
        let has_new = !self.state.searches.is_empty();
        for (query, picture) in searches {
            if !is_known(&self.state.searches, &query) {
                let thumbnail = ctx.load_texture("search", color_image(&picture), TextureOptions::LINEAR);
                self.state.searches.push(EarlierSearch { query, picture, thumbnail });
            }
        }
        self.has_searches = true;
        if has_new {
            self.keep_searches();
        }
    }

    /// A search has begun: it is the latest one.
    pub(super) fn remember_search(&mut self, query: Query, picture: RgbImage, thumbnail: TextureHandle) {
        let Some(library) = &self.state.library else { return };
        let root = &library.library.root;
        let own = as_kept(&query, root);
        self.state.searches.retain(|search| as_kept(&search.query, root) != own);
        self.state.searches.insert(0, EarlierSearch { query, picture, thumbnail });
        self.keep_searches();
    }

    fn keep_searches(&mut self) {
        self.state.searches.truncate(MOST);
        let Some(library) = &self.state.library else { return };
        if library.obstacle.is_some() || !self.has_searches {
            return;
        }
        let root = &library.library.root;
        let searches = self.state.searches.iter();
        let kept: Vec<Kept> = searches.map(|search| (as_kept(&search.query, root), search.picture.clone())).collect();
        self.kept_files.save(library.library.folder.join(FILE), move || searches::to_bytes(&kept));
    }
}
