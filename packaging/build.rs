//! Lets the program find libtorch without `LD_LIBRARY_PATH`: first beside itself, then where `make setup` put it. What
//! `make package` builds, with `FLORASCOPE_PACKAGE` set, looks only beside itself and knows nothing of the computer that
//! it was built on.

use std::path::Path;

fn main() {
    println!("cargo::rerun-if-changed=.deps");
    println!("cargo::rerun-if-env-changed=FLORASCOPE_PACKAGE");
    println!("cargo::rustc-link-arg=-Wl,-rpath,$ORIGIN/lib");
    let Ok(libraries) = Path::new(".deps").canonicalize() else { return missing() };
    let Ok(version) = std::fs::read_to_string(libraries.join("torch/build-version")) else { return missing() };
    println!("cargo::rustc-env=FLORASCOPE_LIBTORCH={}", version.trim());
    if std::env::var_os("FLORASCOPE_PACKAGE").is_some() {
        // So that libraries beside the program find each other there, too: those of others name no place.
        println!("cargo::rustc-link-arg=-Wl,--disable-new-dtags");
    } else {
        println!("cargo::rustc-link-arg=-Wl,-rpath,{}", libraries.join("torch/lib").display());
        println!("cargo::rustc-env=FLORASCOPE_DEPS={}", libraries.display());
    }
}

fn missing() {
    println!("cargo::error=libtorch is not there (.deps/torch): run `make setup`, then build again");
}
