//! Progress reports while a model is fetched, and how often they come.
//!
//! Runs on the thread that called `fetch`, between two network reads; the callback must return at once.

use std::time::{Duration, Instant};

use super::error::HubError;
use crate::settings::choice;

/// The least time between two reports within one phase.
const INTERVAL: Duration = Duration::from_millis(50);

/// The speed shown forgets with this time constant.
const RATE_MEMORY: Duration = Duration::from_secs(3);

choice! {
    /// What is going on right now.
    pub enum Phase {
        /// Asking the Hub what the model consists of.
        Asking = "asking",
        /// Another process is fetching the same file.
        Waiting = "waiting",
        Downloading = "downloading",
        /// Reading a partial file from an earlier try, to know its checksum so far.
        Checking = "checking",
        /// Pausing before the next try, for `FetchProgress::pause`.
        Retrying = "retrying",
        /// The same because the Hub wants fewer requests.
        Limited = "rate limit of the Hub",
        Finished = "finished",
    }
}

/// One report.
#[derive(Clone, Debug, PartialEq)]
pub struct FetchProgress {
    pub phase: Phase,
    /// The file being fetched; empty while asking.
    pub file: String,
    /// Bytes of that file that are on disk, and its size.
    pub file_done: u64,
    pub file_size: u64,
    /// Which file of how many, from 1.
    pub number: usize,
    pub files: usize,
    /// Bytes of the whole snapshot that are on disk, and its size as far as known.
    pub done: u64,
    pub total: u64,
    /// Bytes that came over the network in this try: what was there before is not among them.
    pub fetched: u64,
    /// Bytes per second over the last few seconds.
    pub rate: Option<f64>,
    /// Time left at that rate.
    pub left: Option<Duration>,
    /// How long until the next try, while retrying.
    pub pause: Option<Duration>,
}

/// Bytes per second, smoothed; time is passed in.
#[derive(Default)]
struct SpeedMeter {
    rate: f64,
    /// Weight gathered so far, to undo the bias of starting from zero.
    weight: f64,
    since: Option<Instant>,
    pending: u64,
}

impl SpeedMeter {
    /// Starts (or restarts after a pause) the clock; the speed learned so far is kept.
    fn start(&mut self, now: Instant) {
        self.since = Some(now);
        self.pending = 0;
    }

    fn add(&mut self, bytes: u64, now: Instant) {
        self.pending += bytes;
        let Some(since) = self.since else { return self.start(now) };
        let elapsed = now.saturating_duration_since(since);
        if elapsed < INTERVAL {
            return;
        }
        let keep = (-elapsed.as_secs_f64() / RATE_MEMORY.as_secs_f64()).exp();
        self.rate = keep * self.rate + (1.0 - keep) * self.pending as f64 / elapsed.as_secs_f64();
        self.weight = keep * self.weight + (1.0 - keep);
        self.start(now);
    }

    fn rate(&self) -> Option<f64> {
        (self.weight > 0.0).then(|| self.rate / self.weight)
    }
}

/// Turns events of a download into reports, no more often than needed.
pub(super) struct ProgressReporter<'a> {
    callback: &'a mut dyn FnMut(&FetchProgress),
    now: FetchProgress,
    meter: SpeedMeter,
    reported: Option<Instant>,
    /// Bytes of the files that are finished.
    finished: u64,
}

impl<'a> ProgressReporter<'a> {
    pub fn new(callback: &'a mut dyn FnMut(&FetchProgress)) -> Self {
        let now = FetchProgress {
            phase: Phase::Asking,
            file: String::new(),
            file_done: 0,
            file_size: 0,
            number: 0,
            files: 0,
            done: 0,
            total: 0,
            fetched: 0,
            rate: None,
            left: None,
            pause: None,
        };
        ProgressReporter { callback, now, meter: SpeedMeter::default(), reported: None, finished: 0 }
    }

    /// How many files and bytes there are in all.
    pub fn plan(&mut self, files: usize, total: u64) {
        (self.now.files, self.now.total) = (files, total);
    }

    /// How many files and bytes there are beyond those begun so far.
    pub fn plan_rest(&mut self, files: usize, bytes: u64) {
        (self.now.files, self.now.total) = (self.now.number + files, self.finished + bytes);
    }

    pub fn phase(&mut self, phase: Phase) {
        (self.now.phase, self.now.pause) = (phase, None);
        self.send();
    }

    /// A try failed; [`retrying`](Self::retrying) says how long the next one takes.
    pub fn failed(&mut self, error: &HubError) {
        let limited = matches!(error, HubError::RateLimited { .. });
        self.now.phase = if limited { Phase::Limited } else { Phase::Retrying };
    }

    pub fn retrying(&mut self, left: Duration) {
        self.now.pause = Some(left);
        self.send();
    }

    /// Begins a file of so many bytes.
    pub fn file(&mut self, name: &str, size: u64) {
        self.now.file = name.to_owned();
        (self.now.file_done, self.now.file_size) = (0, size);
        self.now.number += 1;
    }

    /// Bytes of the current file that lie on disk; `fresh` of them have just come over the network.
    pub fn position(&mut self, on_disk: u64, fresh: u64) {
        self.now.done = self.finished + on_disk;
        self.now.file_done = on_disk;
        self.now.fetched += fresh;
        let now = Instant::now();
        self.meter.add(fresh, now);
        if self.reported.is_none_or(|last| now.saturating_duration_since(last) >= INTERVAL) {
            self.send();
        }
    }

    /// Restarts the speed measurement, so that a pause does not count as slowness.
    pub fn resume_clock(&mut self) {
        self.meter.start(Instant::now());
    }

    pub fn file_done(&mut self, size: u64) {
        self.finished += size;
        self.now.done = self.finished;
        self.now.file_done = size;
    }

    fn send(&mut self) {
        self.reported = Some(Instant::now());
        self.now.rate = self.meter.rate();
        let missing = self.now.total.saturating_sub(self.now.done) as f64;
        self.now.left = (self.now.rate.filter(|r| *r >= 1.0))
            .and_then(|rate| Duration::try_from_secs_f64(missing / rate).ok());
        (self.callback)(&self.now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_is_unbiased_from_the_first_measure() {
        let start = Instant::now();
        let mut meter = SpeedMeter::default();
        meter.start(start);
        assert_eq!(meter.rate(), None);
        for step in 1..=40 {
            meter.add(1_000, start + Duration::from_millis(100 * step));
            let rate = meter.rate().unwrap();
            assert!((rate - 10_000.0).abs() < 1.0, "{rate}");
        }
    }

    #[test]
    fn rate_follows_a_change_of_speed() {
        let start = Instant::now();
        let mut meter = SpeedMeter::default();
        meter.start(start);
        meter.add(10_000, start + Duration::from_secs(1));
        for step in 2..=30 {
            meter.add(1_000, start + Duration::from_secs(step));
        }
        assert!((meter.rate().unwrap() - 1_000.0).abs() < 10.0);
    }

    #[test]
    fn reports_carry_the_whole_and_the_time_left() {
        let mut seen = Vec::new();
        let mut callback = |p: &FetchProgress| seen.push(p.clone());
        let mut reporter = ProgressReporter::new(&mut callback);
        reporter.plan(2, 300);
        reporter.file("a", 100);
        reporter.file_done(100);
        reporter.file("b", 200);
        reporter.phase(Phase::Downloading);
        reporter.position(50, 50);
        reporter.failed(&HubError::RateLimited { wait: None });
        reporter.retrying(Duration::from_secs(1));
        reporter.phase(Phase::Finished);
        assert_eq!(seen[0].phase, Phase::Downloading);
        assert_eq!((seen[0].number, seen[0].files, seen[0].done, seen[0].total), (2, 2, 100, 300));
        let retry = &seen[seen.len() - 2];
        assert_eq!((retry.file_done, retry.file_size, retry.fetched), (50, 200, 50));
        assert_eq!((retry.done, retry.pause), (150, Some(Duration::from_secs(1))));
        assert_eq!(retry.phase, Phase::Limited);
        assert_eq!(seen.last().unwrap().pause, None);
    }
}
