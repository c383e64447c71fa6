//! How many threads libtorch computes with, and for how long.
//!
//! Each thread that computes with several gets helpers of its own (OpenMP's), which stay as long as it does. While there
//! are more of all threads and helpers than cores, none waits awake for the next piece of work, and a training takes twice
//! as long. So threads that stay compute alone, and what needs several runs on a thread that ends with it.

use std::panic::resume_unwind;

/// Does `work` on a thread of its own, on which libtorch computes with so many.
pub(crate) fn on_own_thread<T: Send>(threads: usize, work: impl FnOnce() -> T + Send) -> T {
    let work = || {
        tch::set_num_threads(threads as i32);
        let done = work();
        // The number is this thread's own, but new threads of others begin with the last one set.
        tch::set_num_threads(1);
        done
    };
    std::thread::scope(|scope| scope.spawn(work).join().unwrap_or_else(|panic| resume_unwind(panic)))
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use std::time::{Duration, Instant};

    use tch::{Device, Kind, Tensor};

    use super::*;

    /// Threads with this one's name, which helpers inherit; it is the test's.
    fn of_this_name() -> usize {
        let name = std::fs::read_to_string("/proc/thread-self/comm").unwrap();
        let threads = std::fs::read_dir("/proc/self/task").unwrap();
        let names = threads.filter_map(|thread| std::fs::read_to_string(thread.ok()?.path().join("comm")).ok());
        names.filter(|other| *other == name).count()
    }

    #[test]
    fn helpers_end_with_the_thread_that_they_helped() {
        // libtorch also keeps a pool for the whole process, which does not count as it never waits awake.
        let (alone, helped) = on_own_thread(3, || {
            let alone = of_this_name();
            let sum = Tensor::ones([4096, 1024], (Kind::Float, Device::Cpu)).exp().sum(Kind::Float);
            assert!(sum.double_value(&[]) > 0.0);
            (alone, of_this_name())
        });
        assert!(helped >= alone + 2, "{alone}, {helped}");
        let end = Instant::now() + Duration::from_secs(10);
        while of_this_name() >= alone {
            assert!(Instant::now() < end, "{} threads are left", of_this_name());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}
