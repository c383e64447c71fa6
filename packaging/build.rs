//! Lets the program find libtorch without `LD_LIBRARY_PATH`: first beside itself, then where `make setup` put it.

use std::path::Path;

fn main() {
    println!("cargo::rerun-if-changed=.deps");
    println!("cargo::rustc-link-arg=-Wl,-rpath,$ORIGIN/lib");
    let libraries = Path::new(".deps").canonicalize().unwrap_or_default();
    println!("cargo::rustc-link-arg=-Wl,-rpath,{}", libraries.join("torch/lib").display());
    println!("cargo::rustc-env=FLORASCOPE_DEPS={}", libraries.display());
}
