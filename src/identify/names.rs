//! Which labels are names of plants, and which names belong together.

use std::collections::{BTreeMap, HashMap};
use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::sync::Arc;

use crate::names::{PathKey, composed};
use crate::photo::{Photo, PhotoId};

/// What programs, cameras and people call folders of photos of all kinds.
const NO_NAMES: &[&str] = &[
    "album",
    "all",
    "backup",
    "bilder",
    "bluetooth",
    "camera",
    "camera roll",
    "dcim",
    "desktop",
    "downloads",
    "export",
    "favorites",
    "favourites",
    "fotos",
    "images",
    "img",
    "import",
    "inbox",
    "lightroom",
    "misc",
    "new",
    "new folder",
    "originals",
    "other",
    "photo",
    "photos",
    "pictures",
    "raw",
    "saved pictures",
    "screenshots",
    "scans",
    "selected",
    "sort",
    "temp",
    "test",
    "tmp",
    "train",
    "unknown",
    "unnamed",
    "unsorted",
    "untitled",
    "valid",
    "various",
    "whatsapp",
    "whatsapp images",
];
/// How names of genera end, and the words that follow them, in the Latin of botanists.
const GENUS_ENDINGS: &[&str] =
    &["a", "um", "us", "is", "es", "on", "os", "as", "ys", "yx", "ix", "ex", "ax", "en", "io", "go", "ops", "ns"];
const EPITHET_ENDINGS: &[&str] =
    &["a", "um", "us", "is", "e", "i", "ae", "ns", "or", "er", "x", "os", "es", "on", "ys"];

/// Whether a label may be the name of a plant rather than of a day, an event or a camera's folder.
pub(super) fn is_name(label: &OsStr) -> bool {
    let label = label.to_string_lossy().to_lowercase();
    let label = label.trim();
    label.chars().next().is_some_and(char::is_alphabetic)
        && label.chars().filter(|c| c.is_alphabetic()).count() >= 2
        // Years and numbers of cameras.
        && !label.split(|c: char| !c.is_ascii_digit()).any(|digits| digits.len() >= 3)
        && !NO_NAMES.contains(&label)
}

/// The genus of a binomial such as "Rosa canina".
fn genus(label: &str) -> Option<&str> {
    let mut words = label.split_whitespace();
    let (genus, epithet) = (words.next()?, words.next()?);
    let is_latin = |word: &str, endings: &[&str]| {
        word.len() >= 3 && word.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'-') && ends(word, endings)
    };
    let is_capital = |word: &str| word.starts_with(|c: char| c.is_ascii_uppercase());
    let is_binomial = is_capital(genus)
        && !is_capital(epithet)
        && is_latin(genus, GENUS_ENDINGS)
        && (is_latin(epithet, EPITHET_ENDINGS) || matches!(epithet, "sp." | "spp." | "x" | "×"));
    is_binomial.then_some(genus)
}

fn ends(word: &str, endings: &[&str]) -> bool {
    endings.iter().any(|ending| word.ends_with(ending))
}

/// The names of a library at one rank.
#[derive(Clone, Debug, Default)]
pub(super) struct Classes {
    pub(super) names: Vec<OsString>,
    /// Photos of each.
    pub(super) sizes: Vec<u32>,
}

/// The names of a library's photos: of species, and of what those belong to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    pub(super) species: Classes,
    /// Genera, or the folders that folders of species lie in. A species that belongs to none, or alone, is its own.
    pub(super) groups: Classes,
    /// Of each species.
    pub(super) group_of: Vec<u32>,
    of_photo: HashMap<PhotoId, u32>,
}

impl Names {
    /// Of labelled photos; others are passed over.
    pub(crate) fn of<'a>(photos: impl Iterator<Item = &'a Arc<Photo>>) -> Self {
        // By name, and with it the folder around the one that is named; where there are several, the first.
        let mut labelled: BTreeMap<OsString, (Option<OsString>, Vec<PhotoId>)> = BTreeMap::new();
        for photo in photos {
            let Some(label) = photo.label().filter(|label| is_name(label)) else { continue };
            let parent = photo.path.parent().and_then(Path::parent).and_then(Path::file_name).map(composed);
            let parent = parent.filter(|parent| is_name(parent)).map(std::borrow::Cow::into_owned);
            labelled.entry(label.into_owned()).or_insert((parent, Vec::new())).1.push(photo.id);
        }
        let mut by_name: Vec<_> = labelled.into_iter().collect();
        by_name.sort_by_cached_key(|(name, _)| PathKey::from(Path::new(name)));
        let mut names = Self::default();
        let mut members: BTreeMap<OsString, Vec<u32>> = BTreeMap::new();
        for (number, (name, (parent, photos))) in (0..).zip(by_name) {
            let latin = name.to_str().and_then(genus).map(OsString::from);
            if let Some(group) = latin.or(parent) {
                members.entry(group).or_default().push(number);
            }
            names.species.sizes.push(photos.len() as u32);
            names.species.names.push(name);
            names.of_photo.extend(photos.into_iter().map(|id| (id, number)));
        }
        names.group(members);
        names
    }

    fn group(&mut self, members: BTreeMap<OsString, Vec<u32>>) {
        let mut group_of = vec![None; self.species.names.len()];
        let mut add = |name: OsString, members: &[u32]| {
            let number = self.groups.names.len() as u32;
            let photos = members.iter().map(|species| self.species.sizes[*species as usize]).sum();
            self.groups.names.push(name);
            self.groups.sizes.push(photos);
            members.iter().for_each(|species| group_of[*species as usize] = Some(number));
        };
        // A folder around all of them says nothing.
        let is_telling = |members: &[u32]| members.len() > 1 && members.len() < self.species.names.len();
        members.into_iter().filter(|(_, members)| is_telling(members)).for_each(|(name, members)| add(name, &members));
        for ((group, name), size) in group_of.iter_mut().zip(&self.species.names).zip(&self.species.sizes) {
            if group.is_none() {
                *group = Some(self.groups.names.len() as u32);
                self.groups.names.push(name.clone());
                self.groups.sizes.push(*size);
            }
        }
        self.group_of = group_of.into_iter().flatten().collect();
    }

    /// The species of a photo, as a number.
    pub(crate) fn species_of(&self, photo: PhotoId) -> Option<u32> {
        self.of_photo.get(&photo).copied()
    }

    /// The number of the species of this name.
    pub(crate) fn number_of(&self, name: &OsStr) -> Option<u32> {
        self.species.names.iter().position(|known| known == name).map(|number| number as u32)
    }

    /// All that have one, in no order.
    pub(crate) fn all_photos(&self) -> impl Iterator<Item = PhotoId> {
        self.of_photo.keys().copied()
    }

    /// Species that have a name.
    pub(crate) fn count(&self) -> usize {
        self.species.names.len()
    }

    /// Photos that have one.
    pub(crate) fn photos(&self) -> usize {
        self.of_photo.len()
    }

    /// Whether some species belong together.
    pub(super) fn has_groups(&self) -> bool {
        self.groups.names.len() < self.species.names.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::Metadata;
    use crate::photo::ContentHash;

    fn names(paths: &[&str]) -> Names {
        let photo = |(id, path): (i64, &&str)| {
            Arc::new(Photo::new(PhotoId(id), path.into(), ContentHash([0; 16]), Metadata::default()))
        };
        let photos: Vec<_> = (1..).zip(paths).map(photo).collect();
        Names::of(photos.iter())
    }

    #[test]
    fn names_of_plants_are_told_from_other_folders() {
        for name in ["rose", "Rosa canina", "玫瑰", "bird of paradise", "Nelke 2", "ox-eye daisy"] {
            assert!(is_name(OsStr::new(name)), "{name}");
        }
        for name in
            ["2024-05-12", "100CANON", "DCIM", "Camera", "Holiday 2023", "Screenshots", "x", "", "12 May", "IMG"]
        {
            assert!(!is_name(OsStr::new(name)), "{name}");
        }
    }

    #[test]
    fn binomials_tell_their_genus() {
        for (label, wanted) in [
            ("Rosa canina", Some("Rosa")),
            ("Rosa × damascena", Some("Rosa")),
            ("Iris sibirica L.", Some("Iris")),
            ("Solidago sp.", Some("Solidago")),
            ("Sweet pea", None),
            ("Sweet william", None),
            ("bee balm", None),
            ("Bee balm", None),
            ("Rosa", None),
            ("Rose Garden", None),
        ] {
            assert_eq!(genus(label), wanted, "{label}");
        }
    }

    #[test]
    fn species_belong_to_their_genus_or_the_folder_around_them() {
        let known = names(&[
            "Rosa canina/1.jpg",
            "Rosa gallica/1.jpg",
            "garden/bulbs/tulip/1.jpg",
            "garden/bulbs/tulip/2.jpg",
            "garden/bulbs/crocus/1.jpg",
            "garden/daisy/1.jpg",
            "2024-05/1.jpg",
            "top.jpg",
        ]);
        let group = |species: usize| known.groups.names[known.group_of[species] as usize].to_str().unwrap();
        let found: Vec<_> = known
            .species
            .names
            .iter()
            .enumerate()
            .map(|(number, name)| (name.to_str().unwrap(), group(number)))
            .collect();
        let wanted = [
            ("crocus", "bulbs"),
            ("daisy", "daisy"),
            ("Rosa canina", "Rosa"),
            ("Rosa gallica", "Rosa"),
            ("tulip", "bulbs"),
        ];
        assert_eq!(found, wanted);
        assert_eq!((known.photos(), known.has_groups(), known.species_of(PhotoId(7))), (6, true, None));
        assert_eq!(known.groups.sizes.iter().sum::<u32>(), 6);
        // One folder around all of them tells nothing.
        assert!(!names(&["all of it/rose/1.jpg", "all of it/lily/1.jpg"]).has_groups());
    }
}
