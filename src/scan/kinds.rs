//! What a file or folder is by its name; and whether a file that its name says nothing of is a picture.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use crate::decode::{EXTENSIONS, RAW_EXTENSIONS, UNSUPPORTED};
use crate::photo::path_to_bytes;

/// Files that are no photos.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OtherKind {
    Videos,
    /// What programs keep of a photo beside it.
    Sidecars,
    Documents,
    Sounds,
    Other,
    Hidden,
    /// To photos and folders that are in the library already.
    Links,
}

impl OtherKind {
    pub(crate) const ALL: [Self; 7] =
        [Self::Videos, Self::Sidecars, Self::Documents, Self::Sounds, Self::Other, Self::Hidden, Self::Links];
}

/// What the name of a file tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Photo,
    /// A picture of this kind, which cannot be read.
    Unread(&'static str),
    Other(OtherKind),
    Unknown,
}

const VIDEOS: &str = "mp4 m4v mov qt avi mkv webm mpg mpeg mpe m2v m2ts mts m2t ts 3gp 3g2 wmv asf flv f4v vob ogv mxf dv \
    mod tod divx rm rmvb insv lrv braw r3d";
/// `thm` and the like are pictures, but of a video or photo beside them.
const SIDECARS: &str = "xmp aae pp3 pp2 dop cos cop cot cof comask nks nksc dxo on1 onphoto vrd dr4 arp thm ctg json \
    xmp~ rwz rpp spd";
const DOCUMENTS: &str = "pdf txt md rtf doc docx odt xls xlsx ods csv tsv ppt pptx odp htm html xml epub mobi tex log pages \
    numbers key eml ics vcf gpx kml kmz fit nfo yaml yml toml srt";
const SOUNDS: &str = "mp3 wav m4a aac ogg oga opus flac wma aif aiff amr mid midi";
/// Of programs, unfinished downloads, and what programs keep of a file as it was before.
const OTHERS: &str = "zip rar 7z gz bz2 xz zst tar tgz iso dmg img exe msi dll so bin dat app apk deb rpm jar py js css c h \
    cpp hpp rs go java php rb sh bat cmd ps1 db db-wal db-shm db3 sqlite sqlite3 sqlite-wal sqlite-shm ini cfg conf url \
    lnk desktop webloc plist lock tmp temp part partial filepart crdownload download bak backup orig old jpg_original \
    jpeg_original tif_original dng_original nef_original cr2_original ttf otf woff woff2 eot lrcat lrcat-wal lrcat-shm \
    lrcat-journal lrcat-data cosessiondb cocatalogdb torrent par2 sfv md5 sha1 sha256 safetensors pt pth onnx npy npz";

static KINDS: LazyLock<HashMap<&str, Kind>> = LazyLock::new(|| {
    let listed = [
        (VIDEOS, OtherKind::Videos),
        (SIDECARS, OtherKind::Sidecars),
        (DOCUMENTS, OtherKind::Documents),
        (SOUNDS, OtherKind::Sounds),
        (OTHERS, OtherKind::Other),
    ];
    let listed = listed.into_iter().flat_map(|(names, kind)| names.split_whitespace().map(move |name| (name, kind)));
    let others = listed.map(|(name, kind)| (name, Kind::Other(kind)));
    let unread = UNSUPPORTED.iter().map(|(ending, name)| (*ending, Kind::Unread(name)));
    let photos = EXTENSIONS.iter().chain(RAW_EXTENSIONS).map(|ending| (*ending, Kind::Photo));
    others.chain(unread).chain(photos).collect()
});

/// Folders with what was deleted, with what was there at other times, or with the thumbnails of other programs.
const PASSED_OVER: &[&str] = &[
    "$recycle.bin",
    "recycler",
    "recycled",
    "#recycle",
    "@recycle",
    "trash",
    "network trash folder",
    "lost+found",
    "found.000",
    "#snapshot",
    "@snapshot",
    "@recently-snapshot",
    "~snapshot",
    "@eadir",
    "@tmp",
    "@__thumb",
    "thumbs",
    "ipod photo cache",
    "system volume information",
    "temporary items",
    "thevolumesettingsfolder",
    "__macosx",
    "lightroom previews",
    "files_trashbin",
    "files_versions",
];
/// What the names of folders end with that are a program's library of photos: originals, edits and previews in its order.
const PACKAGES: &[&str] = &[
    "photoslibrary",
    "photolibrary",
    "migratedphotolibrary",
    "aplibrary",
    "migratedaplibrary",
    "photoboothlibrary",
    "lrdata",
    "lrlibrary",
    "lrcat-data",
    "cocatalog",
    "imovielibrary",
    "tvlibrary",
    "musiclibrary",
    "fcpbundle",
    "theater",
    "dtbase2",
    "luminarlibrary",
    "app",
];

/// What a file is by its name.
pub(super) fn kind_of(name: &OsStr) -> Kind {
    if is_hidden(name) {
        return Kind::Other(OtherKind::Hidden);
    }
    let ending = std::path::Path::new(name).extension().map(|ending| ending.to_string_lossy().to_lowercase());
    ending.and_then(|ending| KINDS.get(ending.as_str()).copied()).unwrap_or(Kind::Unknown)
}

fn is_hidden(name: &OsStr) -> bool {
    path_to_bytes(name.as_ref()).starts_with(b".")
}

/// Whether a folder of this name is passed over with all that is in it.
pub(super) fn is_passed_over(name: &OsStr) -> bool {
    if is_hidden(name) {
        return true;
    }
    let name = name.to_string_lossy().to_lowercase();
    let ending = name.rsplit_once('.').map(|(_, ending)| ending);
    PASSED_OVER.contains(&name.as_str())
        || name.starts_with("@gmt-")
        || ending.is_some_and(|ending| PACKAGES.contains(&ending))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_ending_stands_in_one_list() {
        let lists = [VIDEOS, SIDECARS, DOCUMENTS, SOUNDS, OTHERS];
        let mut endings: Vec<&str> = lists.iter().flat_map(|list| list.split_whitespace()).collect();
        endings.extend(EXTENSIONS.iter().chain(RAW_EXTENSIONS).chain(UNSUPPORTED.iter().map(|(ending, _)| ending)));
        endings.sort_unstable();
        let twice: Vec<_> = endings.windows(2).filter(|pair| pair[0] == pair[1]).collect();
        assert!(twice.is_empty(), "{twice:?}");
        assert!(endings.iter().all(|ending| *ending == ending.to_lowercase()));
    }

    #[test]
    fn a_name_tells_the_kind() {
        let kind = |name: &str| kind_of(OsStr::new(name));
        for photo in ["a.JPG", "a.b.mpo", "a.pjpeg", "a.Pef", "a.x3f", "a.hif", "a.dib"] {
            assert_eq!(kind(photo), Kind::Photo, "{photo}");
        }
        assert_eq!(kind("a.PSD"), Kind::Unread("Photoshop"));
        assert_eq!(kind("MVI_1.MOV"), Kind::Other(OtherKind::Videos));
        assert_eq!(kind("IMG_1.AAE"), Kind::Other(OtherKind::Sidecars));
        assert_eq!(kind(".a.jpg"), Kind::Other(OtherKind::Hidden));
        assert_eq!([kind("IMG_1"), kind("a.qqq"), kind("jpg")], [Kind::Unknown; 3]);
    }

    #[test]
    fn what_was_deleted_and_what_programs_keep_is_passed_over() {
        let passed = [
            "$RECYCLE.BIN",
            "RECYCLER",
            "#recycle",
            "@Recycle",
            ".Trash-1000",
            ".Trashes",
            "lost+found",
            ".snapshot",
            "#snapshot",
            ".zfs",
            "@Recently-Snapshot",
            "@eaDir",
            ".thumbnails",
            ".@__thumb",
            "Thumbs",
            "Pictures.photoslibrary",
            "Cat Previews.lrdata",
            "Cat.lrlibrary",
            "Old.aplibrary",
            "iPhoto.photolibrary",
            "Roses.cocatalog",
        ];
        for name in passed {
            assert!(is_passed_over(OsStr::new(name)), "{name}");
        }
        for name in ["Roses", "recycled paper", "Thumbelina", "2024.05", "snapshots of Ann", "photoslibrary"] {
            assert!(!is_passed_over(OsStr::new(name)), "{name}");
        }
    }
}
