//! The order of names as people expect it, and which names are one although their bytes differ.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use icu_collator::options::CollatorOptions;
use icu_collator::preferences::CollationNumericOrdering;
use icu_collator::{Collator, CollatorBorrowed, CollatorPreferences};
use icu_locale_core::Locale;
use icu_normalizer::ComposingNormalizerBorrowed;

use crate::photo::path_to_bytes;

/// The Unicode Collation Algorithm (Unicode Technical Standard 10) in the order of the system's language, with numbers by
/// their value; `None` where it has no data.
static COLLATOR: LazyLock<Option<CollatorBorrowed<'static>>> = LazyLock::new(|| {
    let locale = sys_locale::get_locale().and_then(|name| Locale::try_from_str(&name).ok());
    let mut preferences = locale.map_or_else(CollatorPreferences::default, |locale| (&locale).into());
    preferences.numeric_ordering = Some(CollationNumericOrdering::True);
    Collator::try_new(preferences, CollatorOptions::default())
        .inspect_err(|error| log::error!("Names are not sorted by language: {error}"))
        .ok()
});

/// Where a path stands among others: by its components, `photo 2` before `photo 10` and `café` beside `cafe`. The keys of
/// different paths differ; that of a folder is the beginning of those of all that lies in it, which stand together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PathKey(Vec<u8>);

impl From<&Path> for PathKey {
    fn from(path: &Path) -> Self {
        let mut key = Vec::new();
        path.components().for_each(|component| append(component.as_os_str(), &mut key));
        Self(key)
    }
}

fn append(name: &OsStr, key: &mut Vec<u8>) {
    let name = path_to_bytes(Path::new(name));
    if let Some(collator) = &*COLLATOR {
        let Ok(()) = collator.write_sort_key_utf8_to(&name, key);
    }
    // Neither name nor key has a zero in it, so that a name comes before those that it begins.
    key.push(0);
    key.extend(name);
    key.push(0);
}

/// Makes the keys of photos, most of which lie in the folder of the one before: half the work.
#[derive(Default)]
pub(crate) struct PathKeys {
    folder: PathBuf,
    key: Option<PathKey>,
}

impl PathKeys {
    pub(crate) fn of(&mut self, photo: &Path) -> PathKey {
        let (Some(folder), Some(name)) = (photo.parent(), photo.file_name()) else { return PathKey::from(photo) };
        if folder != self.folder {
            (self.folder, self.key) = (folder.to_owned(), None);
        }
        let PathKey(folder) = self.key.get_or_insert_with(|| PathKey::from(folder));
        let mut key = Vec::with_capacity(folder.len() + 4 * name.len());
        key.extend_from_slice(folder);
        append(name, &mut key);
        PathKey(key)
    }
}

/// A name in the form of Unicode that composes letters with their marks (NFC): systems write `ü` in two ways, which are
/// one name for people.
pub(crate) fn composed(name: &OsStr) -> Cow<'_, OsStr> {
    match name.to_str() {
        Some(text) if !text.is_ascii() => match ComposingNormalizerBorrowed::new_nfc().normalize(text) {
            Cow::Borrowed(_) => Cow::Borrowed(name),
            Cow::Owned(composed) => Cow::Owned(composed.into()),
        },
        _ => Cow::Borrowed(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(mut paths: Vec<&str>) -> Vec<&str> {
        paths.sort_by_cached_key(|path| PathKey::from(Path::new(path)));
        paths
    }

    #[test]
    fn names_are_sorted_as_people_expect() {
        let expected = vec![
            "cafe",
            "café",
            "Cafe 2",
            "cafe 10",
            "photo 2.jpg",
            "photo 2b.jpg",
            "photo 10.jpg",
            "Zinnia",
            "Лилия",
            "花",
        ];
        let mut mixed = expected.clone();
        mixed.reverse();
        assert_eq!(sorted(mixed), expected);
    }

    #[test]
    fn a_folder_stands_together_whatever_its_neighbours_are_called() {
        let expected = vec!["a", "a/b", "a/b/2.jpg", "a/b/10.jpg", "a/b c", "a b", "a-b", "a2", "a10"];
        let mut mixed = expected.clone();
        mixed.reverse();
        let found = sorted(mixed);
        let within: Vec<usize> = (0..found.len()).filter(|place| found[*place].starts_with("a/")).collect();
        assert!(within.windows(2).all(|two| two[1] == two[0] + 1), "{found:?}");
        let key = |path: &str| PathKey::from(Path::new(path)).0;
        assert!(key("a/b/2.jpg").starts_with(&key("a/b")) && !key("a/b c").starts_with(&key("a/b")));
        let mut keys = PathKeys::default();
        assert!(expected.iter().all(|path| keys.of(Path::new(path)) == PathKey::from(Path::new(path))));
        assert!(key("a/b/2.jpg") < key("a/b/10.jpg") && key("a2") < key("a10"));
    }

    #[test]
    fn two_forms_of_a_name_are_one_name_and_two_paths() {
        let (one, other) = ("Gänseblümchen", "Ga\u{308}nseblu\u{308}mchen");
        assert_eq!(composed(OsStr::new(other)), OsStr::new(one));
        assert!(matches!(composed(OsStr::new(one)), Cow::Borrowed(_)));
        let [one, other, after] = [one, other, "Gänseblümchen 1"].map(|name| PathKey::from(Path::new(name)));
        assert!(one != other && one < after && other < after);
    }
}
