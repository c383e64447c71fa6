//! What the program says of itself: its version, what it is built on, the licences of that.

use crate::catalog::sqlite_version;

/// Name and version.
pub(crate) fn program() -> String {
    format!("Florascope {}", env!("CARGO_PKG_VERSION"))
}

/// The system, as far as it matters to the program.
pub(crate) fn system() -> String {
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let desktop = ["XDG_CURRENT_DESKTOP", "XDG_SESSION_TYPE"].map(|name| std::env::var(name).unwrap_or_default());
    let parts = [std::env::consts::OS, kernel.trim(), std::env::consts::ARCH, &desktop[0], &desktop[1]];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}

const THIRD_PARTY: &str = include_str!("../packaging/THIRD-PARTY.md");
const LOCK: &str = include_str!("../Cargo.lock");

/// Something of others that is in the program.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) name: String,
    /// Empty where it has none.
    pub(crate) version: String,
    pub(crate) licence: String,
}

/// The libraries and weights that the program uses, and the crates that matter most.
pub(crate) fn libraries() -> Vec<Part> {
    let rows = table("## Libraries and weights");
    let parts = rows.into_iter().filter_map(|row| match <[String; 4]>::try_from(row) {
        Ok([name, version, _, licence]) => Some(Part { version: real_version(&name, &version), name, licence }),
        Err(_) => None,
    });
    parts.collect()
}

/// The licences of fonts and crates: what, and under which.
pub(crate) fn licences() -> Vec<(String, String)> {
    let rows = ["## Fonts", "## Rust crates"].into_iter().flat_map(table);
    rows.filter_map(|row| <[String; 2]>::try_from(row).ok()).map(|[what, which]| (what, which)).collect()
}

/// A version that the list gives as that of a crate.
fn real_version(name: &str, version: &str) -> String {
    if name == "SQLite" {
        return sqlite_version().into();
    }
    match version.strip_prefix("as in the crate ") {
        Some(krate) => crate_version(krate).map_or(String::new(), |version| format!("{krate} {version}")),
        None if version.contains("as in") || version.starts_with("the system") => String::new(),
        None => version.into(),
    }
}

/// The version of a crate that the program is built from.
pub(crate) fn crate_version(name: &str) -> Option<&'static str> {
    let (_, rest) = LOCK.split_once(&format!("name = \"{name}\"\nversion = \""))?;
    rest.split('"').next()
}

/// The rows of the first table under a heading, without its head, in plain text.
fn table(heading: &str) -> Vec<Vec<String>> {
    let section = THIRD_PARTY.split_once(heading).map_or("", |(_, section)| section);
    let rows = section.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    rows.skip(2)
        .map(|row| row.trim_matches('|').split('|').map(|cell| cell.trim().replace('`', "")).collect())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_program_is_built_on_is_named_with_its_licence() {
        let libraries = libraries();
        let version = |name: &str| libraries.iter().find(|part| part.name == name).map(|part| part.version.clone());
        assert_eq!(version("SQLite"), Some(sqlite_version().to_owned()));
        assert_eq!(version("Faiss"), Some(format!("faiss-sys {}", crate_version("faiss-sys").unwrap())));
        assert!(version("libtorch").unwrap().starts_with(|c: char| c.is_ascii_digit()));
        assert!(libraries.iter().all(|part| !part.licence.is_empty() && !part.name.contains('`')), "{libraries:?}");
        let licences = licences();
        assert!(licences.iter().any(|(what, _)| what == "MIT or Apache-2.0, at choice"), "{licences:?}");
        assert!(licences.iter().any(|(what, which)| what == "Hack" && which.starts_with("MIT")), "{licences:?}");
    }
}
