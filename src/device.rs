//! What the networks compute on: the user's choice, and the device that it means on this computer.

use std::path::{Path, PathBuf};

use tch::{Cuda, Device};

/// What the user asks for; the program then takes what is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, clap::ValueEnum)]
pub enum DeviceChoice {
    /// An NVIDIA GPU or Apple's, where there is one; the CPU otherwise.
    #[default]
    #[serde(rename = "Auto")]
    Auto,
    #[serde(rename = "Cpu")]
    Cpu,
    #[serde(rename = "Cuda")]
    Cuda,
    #[serde(rename = "Mps")]
    Mps,
}

/// The device that was asked for by its name is not there.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("This computer has no {0} that libtorch can use; choose another device")]
pub struct NoSuchDevice(&'static str);

/// The device that a choice means on this computer.
///
/// # Errors
/// When the one that was asked for is not there.
pub(crate) fn open_device(choice: DeviceChoice) -> Result<Device, NoSuchDevice> {
    let cuda = || {
        load_cuda_libraries();
        Cuda::is_available().then_some(Device::Cuda(0))
    };
    let mps = || tch::utils::has_mps().then_some(Device::Mps);
    match choice {
        DeviceChoice::Cpu => Ok(Device::Cpu),
        DeviceChoice::Auto => Ok(cuda().or_else(mps).unwrap_or(Device::Cpu)),
        DeviceChoice::Cuda => cuda().ok_or(NoSuchDevice("NVIDIA GPU")),
        DeviceChoice::Mps => mps().ok_or(NoSuchDevice("Apple GPU")),
    }
}

/// What a GPU is called: an NVIDIA GPU by its driver, "NVIDIA H100 80GB HBM3".
pub(crate) fn gpu_name(device: Device) -> String {
    match device {
        Device::Cuda(number) => cuda_name(number).unwrap_or_else(|| "NVIDIA GPU".to_owned()),
        Device::Mps => "Apple GPU".to_owned(),
        Device::Vulkan => "Vulkan GPU".to_owned(),
        Device::Cpu => "CPU".to_owned(),
    }
}

/// Whether libtorch's words mean that memory ran out. cuBLAS and cuDNN have words of their own for that, and a cuBLAS that
/// finds no memory for its workspace says that it is not initialised.
pub(crate) fn says_out_of_memory(text: &str) -> bool {
    let words =
        ["out of memory", "not enough memory", "ALLOC_FAILED", "ALLOCATION_FAILED", "CUBLAS_STATUS_NOT_INITIALIZED"];
    words.iter().any(|word| text.contains(word))
}

/// Opens libtorch's CUDA half where it is there. The program is linked without it, so that one binary serves computers
/// with a GPU and without; it must be opened before anything asks for CUDA, since the answer "none" sticks.
fn load_cuda_libraries() {
    let Some(file) = cuda_library() else { return };
    // What a computer without a driver has installed by mistake must not stop the program.
    match open_globally(&file) {
        Ok(()) => log::info!("CUDA libraries opened: {}", file.display()),
        Err(error) => log::warn!("The CUDA libraries could not be opened, using the CPU: {error}"),
    }
}

/// `libtorch_cuda.so` beside the program, where `packaging/fetch_cuda.py` puts it for one user, or where `make setup` put
/// it. The user's is of a version, since another one's does not go with this program; a package knows no set-up.
fn cuda_library() -> Option<PathBuf> {
    let beside_program = std::env::current_exe().ok().and_then(|exe| Some(exe.parent()?.join("lib/cuda")));
    let of_user = directories::BaseDirs::new()
        .map(|folders| folders.data_dir().join(concat!("florascope/libtorch-", env!("FLORASCOPE_LIBTORCH"), "/cuda")));
    let from_setup = option_env!("FLORASCOPE_DEPS").map(|folder| Path::new(folder).join("cuda"));
    [beside_program, of_user, from_setup]
        .into_iter()
        .flatten()
        .map(|folder| folder.join("torch/lib/libtorch_cuda.so"))
        .find(|file| file.exists())
}

#[cfg(unix)]
fn open_globally(file: &Path) -> Result<(), libloading::Error> {
    use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};
    // SAFETY: the file is libtorch's own, of the version that the program is linked against; running its initialisers
    // is what linking against it would have done. It is never closed.
    let library = unsafe { Library::open(Some(file), RTLD_NOW | RTLD_GLOBAL) }?;
    std::mem::forget(library);
    Ok(())
}

#[cfg(not(unix))]
fn open_globally(_file: &Path) -> Result<(), libloading::Error> {
    Ok(())
}

/// Asks NVIDIA's driver, for libtorch's C interface does not tell names.
#[cfg(unix)]
fn cuda_name(number: usize) -> Option<String> {
    use std::ffi::{CStr, c_char, c_int, c_uint};

    type Init = unsafe extern "C" fn(c_uint) -> c_int;
    type DeviceGet = unsafe extern "C" fn(*mut c_int, c_int) -> c_int;
    type GetName = unsafe extern "C" fn(*mut c_char, c_int, c_int) -> c_int;
    let mut name: [c_char; 128] = [0; 128];
    // SAFETY: the driver's library, which libtorch has open already, and its functions with the types that its header
    // cuda.h declares; the name's length is handed over, and the driver ends it with a zero.
    let found = unsafe {
        let driver = libloading::Library::new("libcuda.so.1").ok()?;
        let init = driver.get::<Init>(b"cuInit").ok()?;
        let get = driver.get::<DeviceGet>(b"cuDeviceGet").ok()?;
        let get_name = driver.get::<GetName>(b"cuDeviceGetName").ok()?;
        let mut device = 0;
        let found = init(0) == 0
            && get(&raw mut device, c_int::try_from(number).ok()?) == 0
            && get_name(name.as_mut_ptr(), name.len() as c_int, device) == 0;
        // The driver stays: libtorch computes with it.
        std::mem::forget(driver);
        found
    };
    // SAFETY: zero-terminated, as it began with zeros and the driver ends what it writes.
    found.then(|| unsafe { CStr::from_ptr(name.as_ptr()) }.to_string_lossy().into_owned())
}

#[cfg(not(unix))]
fn cuda_name(_number: usize) -> Option<String> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cublas_says_without_memory_is_out_of_memory() {
        assert!(says_out_of_memory("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"));
        assert!(says_out_of_memory("CUDA out of memory. Tried to allocate 20.00 MiB"));
        assert!(!says_out_of_memory("CUDA error: an illegal memory access was encountered"));
    }
}
