//! Watches in the storm: each sees every change of the shared keys once and in order, whatever
//! happens to its connections and to the server.

use std::sync::Arc;

use kvsd::Event;
use kvsd::stream::Watch;

use crate::ledger::Ledger;
use crate::value::number_of;

/// Follows the changes until the one at the key `end`: the numbers of the writes that it saw.
pub(crate) async fn follow(
    mut events: Watch<Vec<u8>>,
    ledger: Arc<Ledger>,
    end: String,
) -> Vec<u64> {
    let (mut seen, mut last) = (Vec::new(), None);
    loop {
        let version = match events.next().await.expect("a watch ends with an error") {
            Ok(Event::Set(entry)) => {
                let key = std::str::from_utf8(&entry.key).unwrap();
                let number = number_of(key, &entry.value);
                ledger.saw(number);
                seen.push(number);
                if key == end {
                    return seen;
                }
                entry.version
            }
            Ok(Event::Deleted { version, .. }) => version,
            Ok(Event::Gap { .. }) => panic!("a watch that keeps up misses nothing"),
            Err(error) => {
                assert!(error.is_retryable(), "a watch failed as none here may: {error}");
                ledger.count("watches that tried again");
                continue;
            }
        };
        // No batch writes these keys, so that no two changes share a version.
        assert!(last < Some(version), "a watch told {version} after {last:?}");
        last = Some(version);
    }
}
