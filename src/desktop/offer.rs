//! What another program hands over, dropped on the window or through the clipboard: it offers the same thing in several
//! forms, named by MIME types, and one of them is taken.

use std::io;

use super::{Answer, pasted_path};
use crate::decode::decode;
use crate::query::{QueryError, pasted_picture};

/// How something came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Drop,
    Clipboard,
}

/// Lists of files, as file managers name them.
const FILES: [&str; 2] = ["text/uri-list", "x-special/gnome-copied-files"];
/// Pictures, those first that lose nothing.
const PICTURES: [&str; 7] =
    ["image/png", "image/bmp", "image/tiff", "image/webp", "image/jpeg", "image/gif", "image/x-bmp"];
const TEXTS: [&str; 5] = ["text/plain;charset=utf-8", "UTF8_STRING", "text/x-moz-url", "text/plain", "STRING"];

/// The first of the forms that can be used, if any can.
pub(super) fn usable(offered: &[String]) -> Option<&str> {
    forms(offered, &FILES).chain(forms(offered, &PICTURES)).chain(forms(offered, &TEXTS)).next()
}

/// Those of the forms that are offered.
fn forms<'a>(offered: &'a [String], wanted: &'static [&'static str]) -> impl Iterator<Item = &'a str> {
    wanted.iter().filter_map(|form| offered.iter().map(String::as_str).find(|offer| offer.eq_ignore_ascii_case(form)))
}

/// Takes what is most useful: local files, else a picture, else a path that stands there as text. `read` fetches one form.
pub(super) fn take(way: Way, offered: &[String], mut read: impl FnMut(&str) -> io::Result<Vec<u8>>) -> Answer {
    let mut failure = None;
    let mut fetch = |form: &str| read(form).inspect_err(|error| failure = Some(error.to_string())).ok();
    let mut text = None;
    for form in forms(offered, &FILES) {
        let Some(bytes) = fetch(form) else { continue };
        let list = String::from_utf8_lossy(&bytes).into_owned();
        let lines = list.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let paths: Vec<_> = lines.filter_map(pasted_path).collect();
        if !paths.is_empty() {
            return Answer::Paths(paths);
        }
        text = Some(list);
    }
    let mut problem = None;
    for form in forms(offered, &PICTURES) {
        let Some(bytes) = fetch(form) else { continue };
        match decode(&bytes).map_err(QueryError::Picture).and_then(|picture| pasted_picture(&picture)) {
            Ok(jpeg) => return Answer::Pasted(jpeg),
            Err(error) => problem = Some(error.to_string()),
        }
    }
    if let Some(problem) = problem {
        return Answer::Failed(problem);
    }
    for form in forms(offered, &TEXTS) {
        if text.is_some() {
            break;
        }
        text = fetch(form).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    }
    match (text.filter(|text| !text.trim().is_empty()), failure) {
        (Some(text), _) => take_text(way, &text),
        (None, Some(failure)) => Answer::Failed(format!("The other program did not hand it over: {failure}")),
        (None, None) => Answer::Failed(nothing(way).into()),
    }
}

/// Takes the path that stands there as text.
pub(super) fn take_text(way: Way, text: &str) -> Answer {
    match pasted_path(text) {
        // A path or an address a line.
        Some(_) => Answer::Paths(text.lines().filter_map(pasted_path).collect()),
        None => Answer::Failed(no_photo(way, text).into()),
    }
}

/// Why a text cannot be searched with, and what can.
fn no_photo(way: Way, text: &str) -> &'static str {
    match (way, text.trim_start().starts_with("http")) {
        (Way::Drop, true) => {
            "This is the address of a page or picture, not a file. In the browser, choose \"Copy image\" and paste it here"
        }
        (Way::Drop, false) => "This is text, not a photo. Drop a photo or a folder of photos",
        (Way::Clipboard, true) => {
            "The clipboard holds an address, not a photo. In the browser, choose \"Copy image\" instead"
        }
        (Way::Clipboard, false) => "The clipboard holds text, not a photo",
    }
}

fn nothing(way: Way) -> &'static str {
    match way {
        Way::Drop => "What was dropped is no file. Drop a photo or a folder of photos",
        Way::Clipboard => "The clipboard holds nothing that can be searched with: copy a photo or its file first",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::path::PathBuf;

    use super::*;

    /// What comes of these forms; `None` for one that cannot be read.
    fn taken(way: Way, forms: &[(&str, Option<&[u8]>)]) -> Answer {
        let offered: Vec<String> = forms.iter().map(|(form, _)| (*form).to_owned()).collect();
        let content: HashMap<&str, Option<&[u8]>> = forms.iter().copied().collect();
        take(way, &offered, |form| {
            content[form].map(<[u8]>::to_vec).ok_or_else(|| io::Error::from(io::ErrorKind::TimedOut))
        })
    }

    fn png() -> Vec<u8> {
        let mut png = io::Cursor::new(Vec::new());
        // Half of it is transparent, and black beneath that.
        let picture = image::RgbaImage::from_fn(16, 16, |x, _| image::Rgba([0, 0, 0, if x < 8 { 0 } else { 255 }]));
        picture.write_to(&mut png, image::ImageFormat::Png).unwrap();
        png.into_inner()
    }

    #[test]
    fn files_go_before_pictures_and_pictures_before_text() {
        let (png, list) = (png(), b"# a comment\r\nfile:///a/rose%201.jpg\r\nfile:///b.jpg\r\n".as_slice());
        let paths = Answer::Paths(vec![PathBuf::from("/a/rose 1.jpg"), PathBuf::from("/b.jpg")]);
        let text = ("text/plain;charset=utf-8", Some(b"hello".as_slice()));
        assert_eq!(taken(Way::Drop, &[text, ("image/png", Some(&png)), ("text/uri-list", Some(list))]), paths);
        let copied = ("x-special/gnome-copied-files", Some(b"copy\nfile:///b.jpg".as_slice()));
        assert_eq!(taken(Way::Clipboard, &[copied]), Answer::Paths(vec!["/b.jpg".into()]));
        let address = ("text/uri-list", Some(b"https://flowers.example/rose.png".as_slice()));
        for forms in [[text, ("image/png", Some(&png))], [address, ("image/png", Some(&png))]] {
            assert!(matches!(taken(Way::Clipboard, &forms), Answer::Pasted(_)));
        }
        assert_eq!(taken(Way::Clipboard, &[("STRING", Some(b"/c/d.jpg"))]), Answer::Paths(vec!["/c/d.jpg".into()]));
    }

    #[test]
    fn a_transparent_picture_lies_on_white() {
        let png = png();
        let Answer::Pasted(jpeg) = taken(Way::Clipboard, &[("image/png", Some(&png))]) else { panic!("no picture") };
        let picture = decode(&jpeg).unwrap();
        assert!(picture.get_pixel(1, 8).0.iter().all(|value| *value > 240), "{:?}", picture.get_pixel(1, 8));
        assert!(picture.get_pixel(14, 8).0.iter().all(|value| *value < 15));
    }

    #[test]
    fn what_cannot_be_used_gets_a_word_that_helps() {
        let says = |way, forms: &[(&str, Option<&[u8]>)]| match taken(way, forms) {
            Answer::Failed(message) => message,
            other => panic!("{other:?}"),
        };
        let address = ("text/uri-list", Some(b"https://flowers.example/rose.jpg".as_slice()));
        assert!(says(Way::Drop, &[address]).contains("Copy image"));
        assert!(says(Way::Drop, &[("text/plain", Some(b"roses"))]).contains("text, not a photo"));
        assert!(says(Way::Drop, &[("application/x-thing", Some(b""))]).contains("no file"));
        assert!(says(Way::Clipboard, &[]).contains("nothing that can be searched with"));
        assert!(says(Way::Clipboard, &[("image/png", Some(b"no picture"))]).len() > 10);
        assert!(says(Way::Drop, &[("text/uri-list", None)]).contains("did not hand it over"));
        assert_eq!(usable(&["application/x-thing".into()]), None);
    }
}
