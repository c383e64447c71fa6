//! A raw file and the picture that the camera made of the same shot: one photo for people, two files on the disk. Cameras
//! call both the same and lay them beside each other.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::Path;

use crate::metadata::is_raw;

/// Endings of pictures that cameras and phones make beside a raw file, in lower case.
const PICTURES: [&str; 6] = ["jpg", "jpeg", "heic", "hif", "avif", "jxl"];

/// The pairs among some files: a picture with its raw file. Each may be in several.
pub(crate) fn pairs<'a, T: Copy>(files: impl Iterator<Item = (&'a Path, T)> + Clone) -> Vec<(T, T)> {
    let mut raws = HashMap::<_, Vec<T>>::new();
    for (path, raw) in files.clone().filter(|(path, _)| is_raw(path)) {
        raws.entry(shot(path)).or_default().push(raw);
    }
    if raws.is_empty() {
        return Vec::new();
    }
    let pictures = files.filter(|(path, _)| is_picture(path));
    let raws_of = |path| raws.get(&shot(path)).into_iter().flatten();
    pictures.flat_map(|(path, picture)| raws_of(path).map(move |raw| (picture, *raw))).collect()
}

fn is_picture(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    extension.is_some_and(|extension| PICTURES.contains(&extension.to_ascii_lowercase().as_str()))
}

/// What both files of a pair have in common: their folder, and their name whatever its case.
fn shot(path: &Path) -> (Option<&Path>, OsString) {
    let stem = path.file_stem().unwrap_or_default();
    let stem = stem.to_str().map_or_else(|| stem.to_ascii_lowercase(), |stem| stem.to_lowercase().into());
    (path.parent(), stem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_lies_in_one_folder_under_one_name() {
        let files = [
            "a/IMG_1.CR3",
            "a/img_1.jpg",
            "b/IMG_1.jpg",
            "a/IMG_2.NEF",
            "a/IMG_2.tif",
            "a/IMG_3.jpg",
            "a/IMG_3.jpeg",
            "a/É.HEIC",
            "a/é.dng",
            "IMG_4.raf",
            "IMG_4.JXL",
            "IMG_4.hif",
            "IMG_4.raf.jpg",
            "IMG_4.dng",
            "IMG_5.dng",
            "IMG_5",
        ];
        let found = pairs(files.iter().map(|file| (Path::new(file), *file)));
        assert_eq!(
            found,
            [
                ("a/img_1.jpg", "a/IMG_1.CR3"),
                ("a/É.HEIC", "a/é.dng"),
                ("IMG_4.JXL", "IMG_4.raf"),
                ("IMG_4.JXL", "IMG_4.dng"),
                ("IMG_4.hif", "IMG_4.raf"),
                ("IMG_4.hif", "IMG_4.dng")
            ]
        );
    }

    #[cfg(unix)]
    #[test]
    fn names_that_are_no_text_are_compared_as_they_are() {
        let files = [b"\xff.nef".as_slice(), b"\xfe.jpg", b"\xff.JPG"].map(crate::photo::bytes_to_path);
        let found = pairs(files.iter().map(|file| (file.as_path(), file)));
        assert_eq!(found, [(&files[2], &files[0])]);
    }
}
