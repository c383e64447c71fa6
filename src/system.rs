//! What the program asks of the computer that it runs on.

use std::time::{SystemTime, UNIX_EPOCH};

/// Threads that can compute at once, at least 1.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| cores.get())
}

/// Seconds since 1970; 0 where the clock stands before that.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
