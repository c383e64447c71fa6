//! What a folder holds beside the photos that can be read: so that the numbers add up to what is there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, percent_encode};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::kinds::OtherKind;
use crate::photo::{bytes_to_path, path_to_bytes};

/// What a scan counted and passed over.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Files that are no photos.
    pub others: BTreeMap<OtherKind, u64>,
    /// Folders that were not entered: recycle bins, snapshots, thumbnails, libraries of other programs, hidden ones.
    pub passed_over: Vec<PlainPath>,
    /// Where other drives are within the folder.
    pub(super) drives: Vec<Drive>,
    /// Photos behind links that lead nowhere now.
    pub(super) away_links: BTreeSet<PlainPath>,
}

/// A drive within the folder, or the folder's own, whose path is empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Drive {
    pub(super) path: PlainPath,
    /// It is reached by a link of the user's.
    pub(super) is_link: bool,
    pub(super) identity: String,
    /// How many photos of it the library has, where it is away.
    pub(super) away: Option<u64>,
}

impl Account {
    /// Counts one file.
    pub(super) fn count(&mut self, kind: OtherKind) {
        *self.others.entry(kind).or_default() += 1;
    }

    /// How many files there are of a kind.
    pub fn number_of(&self, kind: OtherKind) -> u64 {
        self.others.get(&kind).copied().unwrap_or(0)
    }

    /// The places of drives that are not there now, each with the number of its photos.
    pub fn away(&self) -> impl Iterator<Item = (&Path, u64)> {
        let drives = self.drives.iter().filter_map(|drive| Some((drive.path.0.as_path(), drive.away?)));
        drives.chain(self.away_links.iter().map(|link| (link.0.as_path(), 1)))
    }

    /// The places of drives within the folder.
    pub(crate) fn drives(&self) -> impl Iterator<Item = &Path> {
        self.drives.iter().map(|drive| drive.path.0.as_path())
    }

    /// Whether a photo is on a drive that is not there now.
    pub(crate) fn is_away(&self, photo: &Path) -> bool {
        // Most libraries have no drive that is away; those of linked photos have thousands of links.
        self.drives.iter().any(|drive| drive.away.is_some() && photo.starts_with(&drive.path.0))
            || (!self.away_links.is_empty() && self.away_links.contains(&PlainPath(photo.to_owned())))
    }
}

/// A path that is written as text without loss, as addresses are.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PlainPath(pub PathBuf);

const ESCAPED: &AsciiSet = &CONTROLS.add(b'%');

impl Serialize for PlainPath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&percent_encode(&path_to_bytes(&self.0), ESCAPED))
    }
}

impl<'de> Deserialize<'de> for PlainPath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok(Self(bytes_to_path(&percent_decode_str(&text).collect::<Vec<u8>>())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_survives_the_catalog() {
        let mut account = Account::default();
        account.count(OtherKind::Videos);
        account.count(OtherKind::Videos);
        account.passed_over.push(PlainPath(bytes_to_path(b"ros\xe9/100 %/#recycle")));
        let drive = PlainPath("stick".into());
        account.drives.push(Drive { path: drive, is_link: false, identity: "/dev/sdb1 /".into(), away: Some(3) });
        let json = serde_json::to_vec(&account).unwrap();
        assert_eq!(serde_json::from_slice::<Account>(&json).unwrap(), account);
        assert!(account.is_away(Path::new("stick/1.jpg")) && !account.is_away(Path::new("stick.jpg")));
    }
}
