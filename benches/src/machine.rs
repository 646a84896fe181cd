//! What the machine is and what it does meanwhile: read from `/proc`, never written.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::Error;

/// The machine, as the head of a report names it.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) cores: usize,
    pub(crate) cpu: String,
    pub(crate) kernel: String,
    /// What the data folder is on.
    pub(crate) file_system: String,
}

impl Machine {
    pub(crate) fn look(folder: &Path) -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let or_unknown = |text: Option<&str>| text.unwrap_or("unknown").trim().to_owned();
        let cpu = read("/proc/cpuinfo");
        let model =
            cpu.lines().find_map(|line| line.strip_prefix("model name")?.split(": ").nth(1));
        Self {
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            cpu: or_unknown(model),
            kernel: or_unknown(Some(&read("/proc/sys/kernel/osrelease"))),
            file_system: or_unknown(file_system(&read("/proc/self/mounts"), folder)),
        }
    }
}

/// The type of the file system that a folder is on: the one mounted deepest on the way to it.
fn file_system<'m>(mounts: &'m str, folder: &Path) -> Option<&'m str> {
    let fields = |line: &'m str| {
        let mut fields = line.split(' ').skip(1);
        Some((Path::new(fields.next()?), fields.next()?))
    };
    let on_the_way = mounts.lines().filter_map(fields).filter(|(on, _)| folder.starts_with(on));
    on_the_way.max_by_key(|(on, _)| on.components().count()).map(|(_, kind)| kind)
}

/// The machine's processor time since it started, in ticks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ticks {
    total: u64,
    busy: u64,
    stolen: u64,
}

impl Ticks {
    pub(crate) fn now() -> Result<Self, Error> {
        let text = fs::read_to_string("/proc/stat")?;
        Self::parse(&text).ok_or_else(|| "/proc/stat is not as expected".into())
    }

    /// From the line `cpu user nice system idle iowait irq softirq steal ..`.
    fn parse(text: &str) -> Option<Self> {
        let fields = text.lines().next()?.strip_prefix("cpu ")?;
        let fields: Vec<u64> =
            fields.split_ascii_whitespace().map_while(|field| field.parse().ok()).collect();
        let [user, nice, system, idle, iowait, irq, softirq, stolen] = *fields.first_chunk()?;
        let busy = user + nice + system + irq + softirq;
        Some(Self { total: busy + idle + iowait + stolen, busy, stolen })
    }

    /// The share of the time since `earlier` that the hypervisor gave to others.
    pub(crate) fn steal_since(self, earlier: Self) -> f64 {
        let total = self.total - earlier.total;
        (self.stolen - earlier.stolen) as f64 / total.max(1) as f64
    }

    /// The processor time since `earlier` that anything on this machine used.
    pub(crate) fn busy_since(self, earlier: Self) -> Duration {
        ticks(self.busy - earlier.busy)
    }
}

/// The processor time that a process has used, its system calls included.
pub(crate) fn cpu_of(process: u32) -> Result<Duration, Error> {
    let path = format!("/proc/{process}/stat");
    let text = fs::read_to_string(&path)?;
    cpu_ticks(&text).map(ticks).ok_or_else(|| format!("{path} is not as expected").into())
}

/// The memory that a process has in use, as `VmRSS` tells it.
pub(crate) fn resident_bytes(process: u32) -> Result<u64, Error> {
    let path = format!("/proc/{process}/status");
    field(&fs::read_to_string(&path)?, "VmRSS:")
        .map(|kib| kib * 1024)
        .ok_or_else(|| format!("{path} is not as expected").into())
}

/// How many files and sockets a process has open.
pub(crate) fn descriptors(process: u32) -> Result<usize, Error> {
    Ok(fs::read_dir(format!("/proc/{process}/fd"))?.count())
}

/// The bytes that this process has handed to system calls that write.
pub(crate) fn written_bytes() -> Result<u64, Error> {
    field(&fs::read_to_string("/proc/self/io")?, "wchar:")
        .ok_or_else(|| "/proc/self/io is not as expected".into())
}

/// The number on the line with that name.
fn field(text: &str, name: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_ascii_whitespace().next()?.parse().ok()
}

/// Fields 14 and 15, user and system time. Field 2 is a name in brackets that may hold anything.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ').skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

fn ticks(count: u64) -> Duration {
    Duration::from_secs_f64(count as f64 / rustix::param::clock_ticks_per_second() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steal_is_a_share_of_all_time() {
        let before = Ticks::parse("cpu  100 0 100 700 50 0 10 40 7 0\ncpu0 1 2\n").unwrap();
        let after = Ticks::parse("cpu  150 0 130 712 52 0 12 44 9 0\ncpu0 1 2\n").unwrap();
        assert!((after.steal_since(before) - 0.04).abs() < 1e-9);
        assert_eq!(after.busy_since(before), ticks(82));
        assert!(after.steal_since(after).abs() < 1e-9);
        assert!(Ticks::parse("cpu  1 2 3\n").is_none());
    }

    #[test]
    fn a_process_may_have_any_name() {
        let stat = "42 (a) R (b) S 1 42 42 0 -1 4194304 1 2 3 4 70 30 5 6 20 0 3 0 1";
        assert_eq!(cpu_ticks(stat), Some(100));
        assert!(cpu_of(std::process::id()).is_ok());
    }

    #[test]
    fn a_named_number_is_found_whatever_stands_around_it() {
        assert_eq!(field("VmHWM:\t  9 kB\nVmRSS:\t  1234 kB\n", "VmRSS:"), Some(1234));
        assert_eq!(field("rchar: 1\nwchar: 2\n", "wchar:"), Some(2));
        assert_eq!(field("wchar: many\n", "wchar:"), None);
        assert!(resident_bytes(std::process::id()).is_ok_and(|bytes| bytes > 1 << 20));
        assert!(written_bytes().is_ok());
    }

    #[test]
    fn the_deepest_mount_names_the_file_system() {
        let mounts = "/dev/a / ext4 rw 0 0\ntmpfs /tmp tmpfs rw 0 0\n/dev/b /tmp/x xfs rw 0 0\n";
        for (folder, kind) in [("/home", "ext4"), ("/tmp/y", "tmpfs"), ("/tmp/x/z", "xfs")] {
            assert_eq!(file_system(mounts, Path::new(folder)), Some(kind), "{folder}");
        }
    }
}
