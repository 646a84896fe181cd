//! What happens to the network of one client: spells of weather, one after the other.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kvsd::testing::{Connects, Faults};
use tokio::time::sleep;

use crate::random::Random;

/// Makes weather until it is told to stop, and then calms it.
pub(crate) async fn blow(faults: Faults, mut random: Random, stop: Arc<AtomicBool>) {
    while !stop.load(Ordering::Relaxed) {
        faults.calm();
        faults.split(random.pick(&[1, 3, 100, 5_000, usize::MAX, usize::MAX]));
        faults.delay(random.pick(&[0, 0, 2, 10, 50]), random.millis(1, 6));
        match random.below(6) {
            0 => faults.cut_after(200..=20_000),
            1 => faults.cut_after(20_000..=1_000_000),
            2 => faults.half_open_after(200..=400_000),
            3 => faults.connects(Connects::RefuseOneIn(2)),
            _ => {}
        }
        sleep(random.millis(20, 400)).await;
        match random.below(6) {
            0 | 1 => faults.cut_all(),
            2 => {
                faults.half_open_all();
                sleep(random.millis(1, 200)).await;
                faults.cut_all();
            }
            3 => {
                faults.connects(Connects::Swallow);
                faults.cut_all();
                sleep(random.millis(1, 200)).await;
            }
            4 => {
                faults.connects(Connects::Refuse);
                faults.cut_all();
                sleep(random.millis(1, 100)).await;
            }
            _ => {}
        }
        if random.one_in(3) {
            // A spell in which connections live long enough to be trusted again.
            faults.calm();
            faults.cut_all();
            faults.split(1_000);
            sleep(Duration::from_millis(900)).await;
        }
    }
    faults.calm();
    // What is half-open would be found by nobody.
    faults.cut_all();
}
