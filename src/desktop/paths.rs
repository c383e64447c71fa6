//! Paths as people and programs write them: typed, pasted, or as the `file:` addresses of file managers.

use std::io;
use std::path::{Path, PathBuf};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};

use super::{Choice, Purpose};
use crate::artefact::EXTENSION;
use crate::photo::{bytes_to_path, path_to_bytes};

/// What a path's bytes are written as `%XX` for in an address.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// A path as a `file:` address.
pub fn file_uri(path: &Path) -> String {
    format!("file://{}", percent_encode(&path_to_bytes(path), ENCODED))
}

/// A path out of typed or pasted text: absolute, or from the home folder on (`~`), perhaps in quotes; or a `file:`
/// address as file managers copy it. `None` for any other text.
pub fn pasted_path(text: &str) -> Option<PathBuf> {
    let line = text.lines().map(str::trim).find(|line| !line.is_empty() && !matches!(*line, "copy" | "cut"))?;
    let unquoted = ['"', '\''].iter().find_map(|quote| line.strip_prefix(*quote)?.strip_suffix(*quote));
    let line = unquoted.unwrap_or(line);
    if let Some(address) = line.strip_prefix("file://") {
        // What stands before the path is the computer's name.
        let path = &address[address.find('/')?..];
        return Some(bytes_to_path(&percent_decode_str(path).collect::<Vec<u8>>()));
    }
    let path = match line.strip_prefix('~').filter(|rest| rest.is_empty() || rest.starts_with(std::path::is_separator))
    {
        Some(rest) => std::env::home_dir()?.join(rest.trim_start_matches(std::path::is_separator)),
        None => PathBuf::from(line),
    };
    path.is_absolute().then_some(path)
}

/// What a path that was typed leads to.
///
/// # Errors
/// In words, when it is none, or nothing that serves the purpose.
pub(super) fn typed(text: &str, purpose: &Purpose) -> Result<Choice, String> {
    let path = pasted_path(text).ok_or("Type the whole path, such as ~/Pictures")?;
    match purpose {
        Purpose::Folder | Purpose::Photo => folder_or_photo(path),
        Purpose::Model => file(path).map(Choice::Model),
        Purpose::Weights => file(path).map(Choice::Weights),
        Purpose::Export { id, title } => Ok(Choice::Export { id: id.clone(), path: new_file(path, title)? }),
    }
}

/// Whether there is a folder or a file at this path.
///
/// # Errors
/// In words, when there is neither, or it cannot be looked at.
pub(super) fn folder_or_photo(path: PathBuf) -> Result<Choice, String> {
    let metadata = std::fs::metadata(&path).map_err(|error| reason(&error))?;
    Ok(if metadata.is_dir() { Choice::Folder(path) } else { Choice::Photo(path) })
}

fn file(path: PathBuf) -> Result<PathBuf, String> {
    let metadata = std::fs::metadata(&path).map_err(|error| reason(&error))?;
    if metadata.is_dir() { Err("This is a folder; type the path of a file".into()) } else { Ok(path) }
}

/// Where a model of this title is written to: in a folder under its own name. Nothing is written over, for nobody has
/// been asked.
fn new_file(path: PathBuf, title: &str) -> Result<PathBuf, String> {
    let path = if path.is_dir() { path.join(file_name(title)) } else { with_extension(path) };
    let folder = path.parent().unwrap_or(&path);
    if path.exists() {
        return Err(format!("{} is there already; type another name", path.file_name().unwrap_or_default().display()));
    }
    if !folder.is_dir() {
        return Err("The folder is not there".into());
    }
    Ok(path)
}

/// The name of the file that a model of this title is exported to.
pub(super) fn file_name(title: &str) -> String {
    let name: String = title.chars().map(|c| if "/\\:*?\"<>|".contains(c) { '-' } else { c }).collect();
    format!("{name}.{EXTENSION}")
}

/// The same path, with the extension of models where it has none.
pub(super) fn with_extension(path: PathBuf) -> PathBuf {
    if path.extension().is_none() { path.with_extension(EXTENSION) } else { path }
}

fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => "There is nothing at this path".into(),
        io::ErrorKind::PermissionDenied => "You have no permission to open this".into(),
        _ => format!("This cannot be opened ({error})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> Option<String> {
        pasted_path(text).map(|path| path.display().to_string())
    }

    #[test]
    fn pasted_text_may_be_a_path() {
        assert_eq!(path("/home/a/rose 1.jpg").as_deref(), Some("/home/a/rose 1.jpg"));
        assert_eq!(path("copy\nfile:///home/a/rose%201.jpg\n").as_deref(), Some("/home/a/rose 1.jpg"));
        assert_eq!(path("file://localhost/a%2Cb.jpg").as_deref(), Some("/a,b.jpg"));
        assert_eq!(path("100% roses"), None);
        assert_eq!(path("https://flowers.example/rose.jpg"), None);
    }

    #[test]
    fn a_path_may_be_typed_as_in_a_terminal() {
        assert_eq!(path("  '/home/a/my roses'  ").as_deref(), Some("/home/a/my roses"));
        assert_eq!(path("\"/home/a\"\n").as_deref(), Some("/home/a"));
        let home = std::env::home_dir().unwrap();
        assert_eq!(pasted_path("~"), Some(home.join("")));
        assert_eq!(pasted_path("~/roses/1.jpg"), Some(home.join("roses/1.jpg")));
        for no_path in ["", "  ", "~ann/roses", "roses/1.jpg", "file://", "''"] {
            assert_eq!(path(no_path), None, "{no_path:?}");
        }
    }

    #[test]
    fn an_address_leads_back_to_its_path() {
        let path = Path::new("/garden, north/100%/r\u{f6}schen.jpg");
        assert_eq!(file_uri(path), "file:///garden%2C%20north/100%25/r%C3%B6schen.jpg");
        assert_eq!(pasted_path(&file_uri(path)).as_deref(), Some(path));
    }

    #[test]
    fn what_is_typed_has_to_serve_its_purpose() {
        let folder = tempfile::tempdir().unwrap();
        let text = |name: &str| folder.path().join(name).display().to_string();
        std::fs::write(folder.path().join("a.safetensors"), b"").unwrap();
        let export = |name: &str| {
            let purpose = Purpose::Export { id: "id".into(), title: "Roses: 1/2".into() };
            typed(&text(name), &purpose).map(|choice| match choice {
                Choice::Export { path, .. } => path.strip_prefix(folder.path()).unwrap().display().to_string(),
                other => panic!("{other:?}"),
            })
        };
        let is = |result: Result<Choice, String>| result.map(|choice| std::mem::discriminant(&choice));
        let folder_choice = std::mem::discriminant(&Choice::Folder("".into()));
        let photo_choice = std::mem::discriminant(&Choice::Photo("".into()));
        assert_eq!(is(typed(&text(""), &Purpose::Photo)), Ok(folder_choice));
        assert_eq!(is(typed(&text("a.safetensors"), &Purpose::Folder)), Ok(photo_choice));
        assert!(typed(&text("none"), &Purpose::Folder).unwrap_err().contains("nothing at this path"));
        assert!(typed("roses", &Purpose::Folder).unwrap_err().contains("the whole path"));
        assert!(typed(&text(""), &Purpose::Model).unwrap_err().contains("a folder"));
        assert_eq!(export("").unwrap(), format!("Roses- 1-2.{EXTENSION}"));
        assert_eq!(export("b").unwrap(), format!("b.{EXTENSION}"));
        assert!(export("a.safetensors").unwrap_err().contains("there already"));
        assert!(export("none/b").unwrap_err().contains("not there"));
    }
}
