//! How much a table has, for whoever asks.
//!
//! The writer says it after each group and each change of the segments; nobody who asks waits for
//! the writer or a file.
//!
//! Next file to read: [`super::rotation`].

use super::segment::SEGMENT_HEADER_BYTES;
use super::writer::Writer;

/// How much a table has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Figures {
    /// Bytes of the records that the index names, as exact as its locations.
    pub(crate) live_bytes: u64,
    /// All other bytes of the segments, but for their headers.
    pub(crate) dead_bytes: u64,
    pub(crate) segments: u64,
    /// Bytes of the segments' files, room that is reserved ahead included.
    pub(crate) disk_bytes: u64,
    pub(crate) last_version: u64,
}

impl Writer {
    /// Says how the table stands now.
    pub(super) fn tell_figures(&self) {
        let entries = &self.manifest.segments;
        let sealed = entries.iter().rev().skip(1).map(|entry| entry.length).sum::<u64>();
        let segments = entries.len() as u64;
        let live_bytes = self.usage.live();
        let written = (sealed + self.end).saturating_sub(segments * SEGMENT_HEADER_BYTES);
        self.reader.set_figures(Figures {
            live_bytes,
            dead_bytes: written.saturating_sub(live_bytes),
            segments,
            disk_bytes: sealed + self.allocated,
            last_version: self.version,
        });
    }
}
