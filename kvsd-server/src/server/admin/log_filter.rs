//! What is logged: showing it, and changing it until the server ends.

use std::sync::Arc;

use bytes::BytesMut;
use kvsd::protocol::admin::Reply;
use kvsd::protocol::v2::{FailCode, RequestId};

use super::action::{Administration, Refused, encoded};
use crate::config::LogFilter;

impl Administration {
    /// What is logged.
    pub(super) fn log_filter(&self, id: RequestId) -> Result<BytesMut, Refused> {
        let filter = self.filter()?.get();
        Ok(encoded(id, &Reply::LogFilter { filter: &filter }))
    }

    /// Logs this from now on.
    pub(super) fn set_log_filter(&self, id: RequestId, filter: &str) -> Result<BytesMut, Refused> {
        self.filter()?.set(filter).map_err(Refused::invalid)?;
        Ok(encoded(id, &Reply::Done))
    }

    fn filter(&self) -> Result<&Arc<dyn LogFilter>, Refused> {
        self.log_filter.as_ref().ok_or_else(|| {
            let message = "the program that runs this server lets nobody change what it logs";
            Refused::new(FailCode::Unsupported, message)
        })
    }
}
