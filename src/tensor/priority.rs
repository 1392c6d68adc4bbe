//! Which threads go first where there is more work than cores.

/// How many steps a thread steps back (19 is the last): about a tenth of a core's time is left to it while others of the
/// program want that core, all of it otherwise.
#[cfg(target_os = "linux")]
const STEPS: libc::c_int = 10;

/// Lets other threads go before the calling one, for good. Does nothing where only whole processes have a priority.
pub fn step_back() {
    #[cfg(target_os = "linux")]
    // SAFETY: takes numbers only. On Linux 0 stands for the calling thread, not for its process.
    unsafe {
        libc::setpriority(libc::PRIO_PROCESS as _, 0, STEPS);
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    fn steps() -> libc::c_int {
        // SAFETY: takes numbers only.
        unsafe { libc::getpriority(libc::PRIO_PROCESS as _, 0) }
    }

    #[test]
    fn only_the_thread_that_asked_steps_back() {
        let before = steps();
        let there = std::thread::spawn(|| {
            step_back();
            steps()
        });
        // A test run that was started far back already stays there.
        assert_eq!(there.join().unwrap(), STEPS.max(before));
        assert_eq!(steps(), before);
    }
}
