//! Durations, sizes and counts as a person reads them, bytes as hexadecimal.

/// `12 s`, `4:05`, `1:02:03`; `–` where it is not a number.
pub fn duration(seconds: f64) -> String {
    if !seconds.is_finite() || seconds < 0.0 {
        return "–".to_owned();
    }
    let s = seconds.round() as u64;
    match s {
        0..60 => format!("{s} s"),
        60..3600 => format!("{}:{:02}", s / 60, s % 60),
        _ => format!("{}:{:02}:{:02}", s / 3600, s % 3600 / 60, s % 60),
    }
}

/// Bytes of memory, in decimal units like those of files: `477 MB`.
pub fn memory(bytes: f64) -> String {
    let mb = bytes / 1e6;
    if mb < 9.95 {
        format!("{mb:.1} MB")
    } else if mb < 9_999.5 {
        format!("{mb:.0} MB")
    } else {
        format!("{:.1} GB", mb / 1e3)
    }
}

/// Bytes of a file, in decimal units as the Hub's pages show them: `548.1 MB`.
pub fn bytes(n: u64) -> String {
    const UNITS: [&str; 6] = ["kB", "MB", "GB", "TB", "PB", "EB"];
    if n < 1000 {
        return format!("{n} B");
    }
    let mut value = n as f64 / 1000.0;
    let mut unit = 0;
    // 999.95 would be printed as 1000.0.
    while value >= 999.95 && unit + 1 < UNITS.len() {
        (value, unit) = (value / 1000.0, unit + 1);
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// 124 M, 3.2 M, 812 k.
pub fn count(n: usize) -> String {
    match n {
        0..1_000 => n.to_string(),
        1_000..1_000_000 => format!("{:.0} k", n as f64 / 1e3),
        1_000_000..10_000_000 => format!("{:.1} M", n as f64 / 1e6),
        10_000_000..1_000_000_000 => format!("{:.0} M", n as f64 / 1e6),
        _ => format!("{:.1} B", n as f64 / 1e9),
    }
}

/// A number of unknown size in at most seven columns.
pub fn short(x: f64) -> String {
    let a = x.abs();
    if !x.is_finite() {
        "–".to_owned()
    } else if a == 0.0 {
        "0".to_owned()
    } else if !(1e-3..1e5).contains(&a) {
        format!("{x:.1e}")
    } else if a >= 100.0 {
        format!("{x:.0}")
    } else if a >= 1.0 {
        format!("{x:.2}")
    } else {
        format!("{x:.3}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_sizes_and_counts_are_short() {
        assert_eq!([12.4, 245.0, 3723.0].map(duration), ["12 s", "4:05", "1:02:03"]);
        assert_eq!(duration(f64::NAN), "–");
        assert_eq!([3e6, 5e8, 5e10].map(memory), ["3.0 MB", "500 MB", "50.0 GB"]);
        assert_eq!([9.96e6, 9.9996e9].map(memory), ["10 MB", "10.0 GB"]);
        assert_eq!(
            [0.0, 3e-4, 0.25, 4.126, 812.3, 2e6].map(short),
            ["0", "3.0e-4", "0.250", "4.13", "812", "2.0e6"]
        );
        assert_eq!(
            [7, 812_000, 3_240_000, 124_439_808, 1_557_611_200].map(count),
            ["7", "812 k", "3.2 M", "124 M", "1.6 B"]
        );
    }

    #[test]
    fn files_read_as_on_the_hub() {
        for (n, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1_000, "1.0 kB"),
            (999_949, "999.9 kB"),
            (999_950, "1.0 MB"),
            (548_105_171, "548.1 MB"),
            (u64::MAX, "18.4 EB"),
        ] {
            assert_eq!(bytes(n), text);
        }
    }
}
