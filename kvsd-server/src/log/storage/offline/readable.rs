//! Reading a segment around what the disk does not read any more.
//!
//! Next file to read: [`super::survey`].

use std::ops::Range;

use crate::log::storage::disk::{DiskFile, read_full};
use crate::log::storage::error::StorageError;
use crate::log::storage::segment::Segment;

/// What a disk still reads of a file.
#[derive(Debug)]
pub(super) struct Readable {
    /// With zeros, which never verify, for what it does not.
    pub(super) bytes: Vec<u8>,
    pub(super) gaps: Vec<Range<u64>>,
}

impl Readable {
    pub(super) fn is_unreadable(&self, place: &Range<u64>) -> bool {
        self.gaps.iter().any(|gap| gap.start < place.end && place.start < gap.end)
    }
}

/// Reads a segment up to a limit, around what the disk does not read.
pub(super) fn read_readable(
    segment: &Segment,
    limit: u64,
    progress: &mut dyn FnMut(u64),
) -> Result<Readable, StorageError> {
    let length = segment.file.length().map_err(StorageError::io("read", &segment.path))?;
    let Ok(length) = usize::try_from(length.min(limit)) else {
        return Err(StorageError::corrupt(&segment.path, length, "the segment is too long"));
    };
    let mut bytes = vec![0; length];
    let mut gaps = Vec::new();
    for (piece, at) in bytes.chunks_mut(PIECE_BYTES).zip((0..).step_by(PIECE_BYTES)) {
        if read_full(&*segment.file, piece, at).is_err() {
            read_blocks(&*segment.file, piece, at, &mut gaps);
        }
        progress(piece.len() as u64);
    }
    Ok(Readable { bytes, gaps })
}

fn read_blocks(file: &dyn DiskFile, piece: &mut [u8], at: u64, gaps: &mut Vec<Range<u64>>) {
    for (block, at) in piece.chunks_mut(BLOCK_BYTES).zip((at..).step_by(BLOCK_BYTES)) {
        if read_full(file, block, at).is_err() {
            block.fill(0);
            gaps.push(at..at + block.len() as u64);
        }
    }
}

/// How much is read with one call.
const PIECE_BYTES: usize = 1 << 20;
/// How much is given up if the disk does not read it.
const BLOCK_BYTES: usize = 4096;
