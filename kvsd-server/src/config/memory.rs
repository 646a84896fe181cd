//! How much memory there is, for defaults that go by it.

use std::fs;

use super::LEAST_CACHE_BYTES;

/// A sixteenth of the memory that there is, within bounds: beside it the system keeps the files'
/// pages, which are all the records.
pub(super) fn default_cache_bytes() -> usize {
    share_of(total(), 16).clamp(LEAST_CACHE_BYTES, MOST_CACHE_BYTES)
}

/// An eighth of the memory that there is, within bounds.
pub(super) fn default_connection_memory() -> usize {
    share_of(total(), 8).clamp(LEAST_CONNECTION_MEMORY, MOST_CONNECTION_MEMORY)
}

/// What this process may have, in bytes; 0 if that cannot be told.
fn total() -> u64 {
    let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let machine = total_of(&text("/proc/meminfo"));
    // What the control groups may have that a container or a unit is in, from the inmost out.
    let limits = limits_of(&text("/proc/self/cgroup"));
    let limits = limits.iter().filter_map(|file| text(file).trim().parse().ok());
    limits.chain(machine).min().unwrap_or_default()
}

/// The files that may hold a limit, of this process's groups of either version.
fn limits_of(groups: &str) -> Vec<String> {
    let mut files = Vec::new();
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else {
            continue;
        };
        let (root, file) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max"),
            "memory" => ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
            _ => continue,
        };
        for group in std::path::Path::new(path).ancestors() {
            let group = group.to_string_lossy();
            files.push(format!("{root}{}/{file}", group.trim_end_matches('/')));
        }
    }
    files
}

fn share_of(memory: u64, part: u64) -> usize {
    usize::try_from(memory / part).unwrap_or(usize::MAX)
}

/// What the system says that it has, in bytes.
fn total_of(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

const MOST_CACHE_BYTES: usize = 1 << 30;
const LEAST_CONNECTION_MEMORY: usize = 64 << 20;
const MOST_CONNECTION_MEMORY: usize = 4 << 30;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_shares_within_bounds() {
        let meminfo = "MemFree: 1 kB\nMemTotal:       24609372 kB\nSwapTotal: 0 kB\n";
        assert_eq!(total_of(meminfo), Some(24_609_372 * 1024));
        for nothing in ["", "MemTotal: many kB", "MemTotal: 18446744073709551615 kB"] {
            assert_eq!(total_of(nothing), None);
        }
        assert_eq!(share_of(8 << 30, 16), 512 << 20);
        let files = limits_of("0::/system.slice/kvsd.service\n5:memory:/box\n1:cpu:/other\n");
        assert_eq!(
            files,
            [
                "/sys/fs/cgroup/system.slice/kvsd.service/memory.max",
                "/sys/fs/cgroup/system.slice/memory.max",
                "/sys/fs/cgroup/memory.max",
                "/sys/fs/cgroup/memory/box/memory.limit_in_bytes",
                "/sys/fs/cgroup/memory/memory.limit_in_bytes",
            ]
        );
        assert!((32 << 20..=1 << 30).contains(&default_cache_bytes()));
        assert!((64 << 20..=4 << 30).contains(&default_connection_memory()));
    }
}
