//! Which part of the library is shown or searched: folders, labels, dates and words of the names, and how many photos each
//! choice has among those that are shown.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use icu_normalizer::DecomposingNormalizerBorrowed;

use crate::metadata::{Days, Taken};
use crate::photo::{Photo, label_of};
use crate::query::Facets;

/// What a choice is about. A photo has to fit one of the choices of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Facet {
    #[default]
    Folders,
    Labels,
    Dates,
}

impl Facet {
    pub(crate) const ALL: [Self; 3] = [Self::Folders, Self::Labels, Self::Dates];
}

/// One thing that photos can be limited to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// A folder and all below it, relative to the library's.
    Folder(PathBuf),
    /// Photos whose folder has this name, wherever it lies.
    Label(OsString),
    /// Photos that were taken on these days.
    Days(Days),
    /// Photos of which nobody knows when they were taken.
    Undated,
}

impl Choice {
    pub(crate) fn facet(&self) -> Facet {
        match self {
            Self::Folder(_) => Facet::Folders,
            Self::Label(_) => Facet::Labels,
            Self::Days(_) | Self::Undated => Facet::Dates,
        }
    }

    fn admits(&self, photo: &Photo) -> bool {
        match self {
            Self::Folder(folder) => photo.path.starts_with(folder),
            Self::Label(label) => photo.label().is_some_and(|name| *name == **label),
            Self::Days(days) => photo.metadata.taken.is_some_and(|taken| days.contain(taken)),
            Self::Undated => photo.metadata.taken.is_none(),
        }
    }
}

/// Which part of the library is shown or searched; all of it by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    pub choices: Vec<Choice>,
    /// A photo's path within the library has each of these words in it, in any order; see [`folded`].
    pub words: String,
}

impl Filter {
    /// Photos that fit this choice.
    pub fn only(choice: Choice) -> Self {
        Self { choices: vec![choice], words: String::new() }
    }

    /// Whether it admits all photos.
    pub fn is_all(&self) -> bool {
        self.choices.is_empty() && self.words.trim().is_empty()
    }

    /// Adds a choice, or takes it away.
    pub(crate) fn toggle(&mut self, choice: Choice) {
        match self.choices.iter().position(|there| *there == choice) {
            Some(there) => _ = self.choices.remove(there),
            None => self.choices.push(choice),
        }
    }

    /// Makes this the only choice of its kind; none, where it is that already.
    pub(crate) fn choose(&mut self, choice: Choice) {
        let facet = choice.facet();
        let was_only = self.choices.iter().filter(|other| other.facet() == facet).eq([&choice]);
        self.choices.retain(|other| other.facet() != facet);
        if !was_only {
            self.choices.push(choice);
        }
    }

    /// Ready to look at many photos.
    pub(crate) fn test(&self) -> Test<'_> {
        let of = |facet| self.choices.iter().filter(|choice| choice.facet() == facet).collect();
        Test { choices: Facet::ALL.map(of), words: folded(&self.words).split_whitespace().map(str::to_owned).collect() }
    }
}

/// A filter that looks at photos.
pub(crate) struct Test<'a> {
    /// The choices of each kind, in the order of [`Facet::ALL`].
    choices: [Vec<&'a Choice>; 3],
    words: Vec<String>,
}

/// Whether a photo fits.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fit {
    Fits,
    /// It would, but for the choices of this kind.
    But(Facet),
    No,
}

impl Test<'_> {
    pub(crate) fn admits(&self, photo: &Photo) -> bool {
        self.fit(photo) == Fit::Fits
    }

    fn fit(&self, photo: &Photo) -> Fit {
        let mut fit = Fit::Fits;
        for (facet, choices) in Facet::ALL.into_iter().zip(&self.choices) {
            if !choices.is_empty() && !choices.iter().any(|choice| choice.admits(photo)) {
                match fit {
                    Fit::Fits => fit = Fit::But(facet),
                    Fit::But(_) | Fit::No => return Fit::No,
                }
            }
        }
        if self.words.is_empty() {
            return fit;
        }
        let name = folded(&photo.path.to_string_lossy());
        if self.words.iter().all(|word| name.contains(word)) { fit } else { Fit::No }
    }
}

/// A text as it is compared with others: without the difference between large and small letters, between letters with and
/// without accents, and between the several ways in which Unicode writes one and the same (NFKD, Unicode Standard Annex 15).
pub(crate) fn folded(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    let is_accent = |c: &char| matches!(c, '\u{300}'..='\u{36f}');
    let decomposed = DecomposingNormalizerBorrowed::new_nfkd().normalize(text);
    decomposed.chars().filter(|c| !is_accent(c)).flat_map(char::to_lowercase).collect()
}

/// How many of the photos that are shown each choice has: of a kind that limits them already, as many as there would be
/// without that limit, so that one sees what another choice of the kind would bring.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    folders: HashMap<PathBuf, usize>,
    labels: HashMap<OsString, usize>,
    months: HashMap<(i32, u8), usize>,
    undated: usize,
}

impl Counts {
    /// Among photos that a filter may admit.
    pub(crate) fn of<'a>(photos: impl Iterator<Item = &'a Photo>, filter: &Filter) -> Self {
        let (mut counts, test) = (Self::default(), filter.test());
        let mut parents = HashMap::<&Path, [usize; 2]>::new();
        for photo in photos {
            let fit = test.fit(photo);
            let counts_in = |facet| fit == Fit::Fits || fit == Fit::But(facet);
            let parent = parents.entry(photo.path.parent().unwrap_or(Path::new(""))).or_default();
            parent[0] += usize::from(counts_in(Facet::Folders));
            parent[1] += usize::from(counts_in(Facet::Labels));
            if counts_in(Facet::Dates) {
                match photo.metadata.taken.map(Taken::month) {
                    Some(month) => *counts.months.entry(month).or_default() += 1,
                    None => counts.undated += 1,
                }
            }
        }
        #[expect(clippy::iter_over_hash_type, reason = "sums do not depend on the order")]
        for (folder, [in_folders, in_labels]) in parents {
            if let Some(label) = label_of(&folder.join("photo")) {
                *counts.labels.entry(label.into_owned()).or_default() += in_labels;
            }
            for folder in folder.ancestors().filter(|folder| !folder.as_os_str().is_empty()) {
                *counts.folders.entry(folder.to_owned()).or_default() += in_folders;
            }
        }
        counts
    }

    pub(crate) fn in_folder(&self, folder: &Path) -> usize {
        self.folders.get(folder).copied().unwrap_or(0)
    }

    pub(crate) fn with_label(&self, label: &OsString) -> usize {
        self.labels.get(label).copied().unwrap_or(0)
    }

    pub(crate) fn undated(&self) -> usize {
        self.undated
    }

    /// The facets of the library with these numbers for their own.
    pub(crate) fn among(&self, facets: &Facets) -> Facets {
        let months = facets.months.iter();
        Facets {
            folders: facets.folders.iter().map(|(folder, _)| (folder.clone(), self.in_folder(folder))).collect(),
            labels: facets.labels.iter().map(|(label, _)| (label.clone(), self.with_label(label))).collect(),
            months: months
                .map(|(year, month, _)| (*year, *month, self.months.get(&(*year, *month)).copied().unwrap_or(0)))
                .collect(),
            undated: self.undated(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::Metadata;
    use crate::photo::{ContentHash, PhotoId};

    fn photo(path: &str) -> Photo {
        Photo::new(PhotoId(1), path.into(), ContentHash([0; 16]), Metadata::default())
    }

    fn finds(words: &str, path: &str) -> bool {
        Filter { words: words.into(), ..Filter::default() }.test().admits(&photo(path))
    }

    #[test]
    fn names_are_found_by_all_of_their_words_in_any_script() {
        for (words, path) in [
            ("", "Rose/1.jpg"),
            ("ROSE", "garden/rose/IMG_1.jpg"),
            ("img rose", "garden/rose/IMG_1.jpg"),
            ("  os   MG_1 ", "garden/rose/IMG_1.jpg"),
            ("ganseblumchen", "Gänseblümchen/1.jpg"),
            ("gänse", "Ga\u{308}nseblu\u{308}mchen.jpg"),
            ("лилия", "ЛИЛИЯ/2.jpg"),
            ("牡丹", "2024年/牡丹花/1.jpg"),
            ("ﬂower", "flower.jpg"),
        ] {
            assert!(finds(words, path), "{words:?} does not find {path:?}");
        }
        assert!(!finds("rose lily", "rose/1.jpg") && !finds("rosa", "rose/1.jpg") && !finds("菊", "牡丹/1.jpg"));
    }

    #[test]
    fn a_photo_fits_one_choice_of_each_kind() {
        let mut filter = Filter::default();
        for choice in [Choice::Label("rose".into()), Choice::Label("lily".into()), Choice::Folder("2024".into())] {
            filter.toggle(choice);
        }
        let admits = |path: &str| filter.test().admits(&photo(path));
        assert!(admits("2024/rose/1.jpg") && admits("2024/a/lily/1.jpg"));
        assert!(!admits("2023/rose/1.jpg") && !admits("2024/tulip/1.jpg") && !admits("2024/1.jpg"));

        filter.choose(Choice::Label("tulip".into()));
        assert_eq!(filter.choices, [Choice::Folder("2024".into()), Choice::Label("tulip".into())]);
        filter.choose(Choice::Label("tulip".into()));
        filter.toggle(Choice::Folder("2024".into()));
        assert!(filter.is_all());
    }

    #[test]
    fn what_another_choice_of_a_kind_would_bring_is_counted() {
        let photos = ["2024/rose/1.jpg", "2024/rose/2.jpg", "2024/lily/1.jpg", "2023/rose/1.jpg"].map(photo);
        let mut filter = Filter::only(Choice::Label("rose".into()));
        let count = |filter: &Filter| {
            let counts = Counts::of(photos.iter(), filter);
            let folders = ["2024", "2023", "2024/rose", "2024/lily"].map(|folder| counts.in_folder(Path::new(folder)));
            (["rose", "lily"].map(|label| counts.with_label(&label.into())), folders, counts.undated())
        };
        assert_eq!(count(&filter), ([3, 1], [2, 1, 2, 0], 3));
        filter.toggle(Choice::Folder("2024".into()));
        assert_eq!(count(&filter), ([2, 1], [2, 1, 2, 0], 2));
        filter.words = "2.jpg".into();
        assert_eq!(count(&filter), ([1, 0], [1, 0, 1, 0], 1));
    }
}
