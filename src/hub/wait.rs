//! Waiting that a person can end: every wait for the network ends on cancel and on silence, and tries are counted.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::error::HubError;
use super::options::ResolvedOptions;
use super::progress::ProgressReporter;

/// How often a wait looks at the cancel flag.
pub(super) const POLL: Duration = Duration::from_millis(25);

/// The longest pause a Hub may ask for; its rate limits renew every five minutes.
const LONGEST_PAUSE: Duration = Duration::from_secs(310);

#[derive(Clone, Copy)]
pub(super) struct Wait<'a> {
    pub cancel: &'a AtomicBool,
    /// Silence longer than this is a stall.
    pub stall: Duration,
}

impl Wait<'_> {
    pub fn check(&self) -> Result<(), HubError> {
        if self.cancel.load(Ordering::Relaxed) { Err(HubError::Cancelled) } else { Ok(()) }
    }

    /// Waits for `future`, but not past a cancel or the stall timeout; `what` names it in the message.
    pub async fn guard<F: Future>(&self, what: &str, future: F) -> Result<F::Output, HubError> {
        self.guard_with(what, future, &mut || {}).await
    }

    /// As [`Wait::guard`]; calls `tick` now and then, so that a silent wait shows as one.
    pub async fn guard_with<F: Future>(
        &self,
        what: &str,
        future: F,
        tick: &mut dyn FnMut(),
    ) -> Result<F::Output, HubError> {
        let mut future = pin!(future);
        let start = Instant::now();
        loop {
            self.check()?;
            let left = self.stall.saturating_sub(start.elapsed());
            if left.is_zero() {
                return Err(HubError::Stalled { what: what.to_owned(), after: self.stall });
            }
            if let Ok(value) = tokio::time::timeout(left.min(POLL), future.as_mut()).await {
                return Ok(value);
            }
            tick();
        }
    }

    /// Sleeps, but not past a cancel.
    pub async fn pause(&self, length: Duration) -> Result<(), HubError> {
        self.pause_with(length, &mut |_| {}).await
    }

    /// As [`Wait::pause`]; calls `tick` with the time left, at the start and whenever it is a second less.
    pub async fn pause_with(&self, length: Duration, tick: &mut dyn FnMut(Duration)) -> Result<(), HubError> {
        let end = Instant::now() + length;
        let mut told = None;
        loop {
            self.check()?;
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            let seconds = left.as_secs_f64().ceil() as u64;
            if told.replace(seconds) != Some(seconds) {
                tick(left);
            }
            tokio::time::sleep(left.min(POLL)).await;
        }
    }
}

/// Counts tries that brought nothing and says how long to pause before the next.
pub(super) struct Tries {
    allowed: u32,
    first_pause: Duration,
    failed: u32,
    stalled: bool,
}

impl Tries {
    pub fn new(settings: &ResolvedOptions) -> Self {
        Tries { allowed: settings.retries, first_pause: settings.backoff, failed: 0, stalled: false }
    }

    /// Something new arrived: the count starts again.
    pub fn progressed(&mut self) {
        (self.failed, self.stalled) = (0, false);
    }

    /// The pause before another try, or `None` when `error` should be reported instead.
    pub fn after(&mut self, error: &HubError) -> Option<Duration> {
        let asked = match error {
            HubError::RateLimited { wait } => wait.unwrap_or_default(),
            _ => Duration::ZERO,
        };
        let is_stall = matches!(error, HubError::Stalled { .. });
        // A person has already waited through one timeout; two in a row are enough.
        if !error.is_passing()
            || self.failed >= self.allowed
            || (is_stall && self.stalled)
            || asked > LONGEST_PAUSE
        {
            return None;
        }
        self.stalled = is_stall;
        self.failed += 1;
        Some(asked.max(self.first_pause.saturating_mul(1 << (self.failed - 1).min(6))))
    }
}

/// Runs `request` until it succeeds, fails for good, or has had its tries.
pub(super) async fn with_tries<T>(
    settings: &ResolvedOptions,
    wait: Wait<'_>,
    reporter: &mut ProgressReporter<'_>,
    mut request: impl AsyncFnMut() -> Result<T, HubError>,
) -> Result<T, HubError> {
    let mut tries = Tries::new(settings);
    loop {
        let error = match request().await {
            Err(error) => error,
            done => return done,
        };
        let Some(pause) = tries.after(&error) else { return Err(error) };
        reporter.failed(&error);
        wait.pause_with(pause, &mut |left| reporter.retrying(left)).await?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::HubOptions;

    fn tries() -> Tries {
        Tries::new(&ResolvedOptions::from_environment(&HubOptions {
            retries: 3,
            backoff: Duration::from_millis(100),
            ..HubOptions::default()
        }))
    }

    fn broken() -> HubError {
        HubError::Broken { what: "x".into(), detail: "y".into() }
    }

    #[test]
    fn pauses_double_and_end() {
        let mut tries = tries();
        let pauses: Vec<_> = (0..4).map(|_| tries.after(&broken()).map(|p| p.as_millis())).collect();
        assert_eq!(pauses, [Some(100), Some(200), Some(400), None]);
        tries.progressed();
        assert_eq!(tries.after(&broken()), Some(Duration::from_millis(100)));
    }

    #[test]
    fn the_hubs_own_wait_is_kept_to_within_reason() {
        let limited = |s| HubError::RateLimited { wait: Some(Duration::from_secs(s)) };
        assert_eq!(tries().after(&limited(7)), Some(Duration::from_secs(7)));
        assert_eq!(tries().after(&limited(0)), Some(Duration::from_millis(100)));
        assert_eq!(tries().after(&limited(3600)), None);
    }

    #[test]
    fn a_second_silence_in_a_row_is_reported() {
        let stalled = || HubError::Stalled { what: "x".into(), after: Duration::from_secs(1) };
        let mut tries = tries();
        assert!(tries.after(&stalled()).is_some());
        assert!(tries.after(&stalled()).is_none());
    }

    #[test]
    fn what_will_not_change_is_not_tried_again() {
        for error in [
            HubError::NotFound { id: "a/b".into() },
            HubError::Cancelled,
            HubError::Server { status: 501, what: "x".into() },
            HubError::Checksum { file: "x".into() },
        ] {
            assert_eq!(tries().after(&error), None, "{error:?}");
        }
    }
}
