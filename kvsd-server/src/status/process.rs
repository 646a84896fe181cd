//! What the system tells of this process.
//!
//! Read from `/proc`; elsewhere than on Linux some of it is unknown.

use std::fs;

use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;

/// What the process takes of the machine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub(super) struct Process {
    pub(super) cpu_seconds: f64,
    pub(super) resident_bytes: Option<u64>,
    pub(super) virtual_bytes: Option<u64>,
    pub(super) threads: Option<u64>,
    pub(super) descriptors: Option<u64>,
    /// None if there is no limit.
    pub(super) most_descriptors: Option<u64>,
}

impl Process {
    /// Asks the system.
    pub(super) fn read() -> Self {
        let cpu = clock_gettime(ClockId::ProcessCPUTime);
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let field = |name: &str| field_of(&status, name);
        let kib = |name: &str| field(name).map(|kib| kib * 1024);
        Self {
            cpu_seconds: cpu.tv_sec as f64 + cpu.tv_nsec as f64 / 1e9,
            resident_bytes: kib("VmRSS:"),
            virtual_bytes: kib("VmSize:"),
            threads: field("Threads:"),
            // Reading the folder takes one itself.
            descriptors: fs::read_dir("/proc/self/fd").ok().map(|all| all.count() as u64 - 1),
            most_descriptors: getrlimit(Resource::Nofile).current,
        }
    }
}

/// The number behind a name at the start of a line.
fn field_of(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_found_by_its_whole_name() {
        let status = "Name:\tkvsd\nVmSize:\t  2048 kB\nVmRSS:\t 1024 kB\nThreads:\t7\n";
        assert_eq!(field_of(status, "VmRSS:"), Some(1024));
        assert_eq!(field_of(status, "Threads:"), Some(7));
        assert_eq!(field_of(status, "Swap:"), None);
        assert_eq!(field_of("Threads:\tmany\n", "Threads:"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_system_knows_this_process() {
        let process = Process::read();
        assert!(process.resident_bytes.unwrap() > 1024 * 1024, "{process:?}");
        assert!(process.threads.unwrap() >= 1 && process.descriptors.unwrap() >= 3, "{process:?}");
    }
}
