//! The searches of before: offered at the side, kept with their library.

use std::path::Path;

use eframe::egui::{Context, TextureHandle, TextureOptions};
use image::RgbImage;

use super::App;
use crate::desktop::Answer as DesktopAnswer;
use crate::query::Query;
use crate::searches::{self, FILE, Kept, MOST};
use crate::ui::state::EarlierSearch;
use crate::ui::textures::color_image;

impl App {
    /// Has the searches of before read that are kept with the open library.
    pub(super) fn ask_for_searches(&mut self) {
        (self.state.searches, self.kept_searches) = (Vec::new(), Vec::new());
        let Some(library) = &self.state.library else { return };
        let folder = library.library.folder.clone();
        self.desktop.run("searches", move || {
            let searches = searches::load(&folder);
            Some(DesktopAnswer::Searches { folder, searches })
        });
    }

    /// Takes them in, behind those that have come meanwhile.
    pub(super) fn take_searches(&mut self, ctx: &Context, folder: &Path, searches: Vec<Kept>) {
        if self.state.library.as_ref().is_none_or(|library| library.library.folder != folder) {
            return;
        }
        for (query, picture) in searches {
            if !self.kept_searches.iter().any(|(known, _)| *known == query) {
                let thumbnail = ctx.load_texture("search", color_image(&picture), TextureOptions::LINEAR);
                self.state.searches.push(EarlierSearch { query: query.clone(), thumbnail });
                self.kept_searches.push((query, picture));
            }
        }
    }

    /// A search has begun: it is the latest one.
    pub(super) fn remember_search(&mut self, query: Query, picture: RgbImage, thumbnail: TextureHandle) {
        let Some(library) = &self.state.library else { return };
        // A photo of the library comes back as its file after a restart.
        let root = &library.library.root;
        let as_kept = |query: &Query| match query {
            Query::Photo(photo) => Query::File(root.join(&photo.path)),
            other => other.clone(),
        };
        let own = as_kept(&query);
        self.state.searches.retain(|search| as_kept(&search.query) != own);
        self.kept_searches.retain(|(search, _)| as_kept(search) != own);
        self.state.searches.insert(0, EarlierSearch { query: query.clone(), thumbnail });
        self.kept_searches.insert(0, (query, picture));
        self.state.searches.truncate(MOST);
        self.kept_searches.truncate(MOST);
        if library.obstacle.is_none() {
            let (kept, root) = (self.kept_searches.clone(), root.clone());
            self.kept_files.save(library.library.folder.join(FILE), move || searches::to_bytes(&kept, &root));
        }
    }
}
