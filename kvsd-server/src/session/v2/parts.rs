//! Messages that come in parts, joined and handed on as if they had come whole.
//!
//! Next file to read: `requests`.

use kvsd::protocol::frame::{FrameLimits, Message};
use kvsd::protocol::v2::part::{Arrival, Assembler, Backing, Sender};

use crate::session::Ended;

#[derive(Debug)]
pub(super) struct Parts {
    assembler: Assembler,
}

impl Parts {
    /// For messages that may cost so much.
    pub(super) fn new(whole: FrameLimits) -> Self {
        Self { assembler: Assembler::new(Sender::Client, whole) }
    }

    /// What has come of messages that are not whole, in bytes.
    pub(super) fn held(&self) -> usize {
        self.assembler.held_bytes()
    }

    /// Hands a message on, or a large one whose last part it is. An error ends the session.
    pub(super) fn take(
        &mut self,
        message: &Message<'_>,
        hand_on: impl FnOnce(&Message<'_>, Backing<'_>) -> Result<(), Ended>,
    ) -> Result<(), Ended> {
        match self.assembler.take(message).map_err(Ended::Parted)? {
            Arrival::Whole => hand_on(message, Backing::ReadBuffer),
            Arrival::Part => Ok(()),
            Arrival::Assembled(mut whole) => {
                let (message, backing) = whole.open().map_err(Ended::Parted)?;
                hand_on(&message, backing)
            }
        }
    }
}
